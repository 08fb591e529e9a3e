import pytest
from netaddr import IPAddress

from calico_ctl.errors import InvalidValue
from calico_ctl.model import bgp
from calico_ctl.model.bgp import BgpPeer, LogLevel, Reflector


@pytest.mark.parametrize("text", ["10.0.0.9", "223.255.255.255", "fd99::9", "2001:db8::"])
def test_a_peer_has_an_address_that_a_host_can_have(text):
    assert bgp.parse_peer_address(text) == IPAddress(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "1", "127.1", "010.0.0.1", "4294967295", "10.0.0.0/24", "router", "10.0.0.1 "),
        *("0.0.0.0", "0.0.0.1", "127.0.0.1", "169.254.0.1", "224.0.0.5", "240.0.0.1"),
        *("255.255.255.255", "::", "::1", "fe80::1", "ff02::5", "fd99::1%eth0", "::10.0.0.1"),
    ],
)
def test_any_other_text_is_no_peers_address(text):
    with pytest.raises(InvalidValue, match="invalid peer address"):
        bgp.parse_peer_address(text)


def test_a_cluster_id_looks_like_an_ipv4_address():
    assert bgp.parse_cluster_id("0.0.0.1") == IPAddress("0.0.0.1")
    for text in ("1", "0.0.0.0", "fd99::1", "01.0.0.1"):
        with pytest.raises(InvalidValue, match="invalid cluster id"):
            bgp.parse_cluster_id(text)


def test_a_password_is_what_bird_takes_between_quotes():
    for text in ("x", "two words", "p'a$s\\w#rd;}", "a" * 80):
        assert bgp.parse_password(text) == text


@pytest.mark.parametrize("text", ["", 'say "sesam"', "sesam\n", "sesam\u00f6", "sesam" * 17])
def test_a_refused_password_is_not_shown(text):
    with pytest.raises(InvalidValue, match="invalid password") as caught:
        bgp.parse_password(text)
    assert "sesam" not in caught.value.message


def test_settings_have_exact_values():
    assert bgp.parse_log_level("debug") is LogLevel.DEBUG
    assert bgp.parse_switch("true") is True
    assert bgp.parse_switch("false") is False
    assert bgp.parse_prefix_limit("10000000") == 10_000_000
    for parse, text in (
        (bgp.parse_log_level, "debugxyz"),
        (bgp.parse_log_level, "INFO"),
        (bgp.parse_log_level, ""),
        (bgp.parse_switch, "yes"),
        (bgp.parse_prefix_limit, "0"),
        (bgp.parse_prefix_limit, "10000001"),
        (bgp.parse_prefix_limit, "1e3"),
    ):
        with pytest.raises(InvalidValue):
            parse(text)


def test_peers_and_reflectors_know_their_family():
    assert BgpPeer(IPAddress("fd99::9"), 1).family == 6
    assert Reflector(IPAddress("10.0.0.9"), IPAddress("0.0.0.1")).family == 4
