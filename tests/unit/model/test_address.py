import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from netaddr import IPAddress, IPNetwork

from calico_ctl.errors import InvalidValue
from calico_ctl.model import address
from calico_ctl.model.address import AnyAddress


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "127.1",
        "010.0.0.1",
        "1.2.3.256",
        "1.2.3.4 ",
        " 1.2.3.4",
        "1.2.3.4/32",
        "0x7f.0.0.1",
        "4294967295",
        "fe80::1%eth0",
        "::ffff:1.2.3.4",
        "1.2.3",
        "a.b.c.d",
        "fd80:::1",
        "\uff11.2.3.4",
        "\n",
    ],
)
def test_what_is_not_plainly_an_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="invalid IP address"):
        address.parse_address(text)


@given(
    st.ip_addresses().filter(
        lambda ip: "." not in str(IPAddress(int(ip), ip.version)) or ip.version == 4
    )
)
def test_every_address_is_read_as_itself(ip) -> None:
    assert str(address.parse_address(str(ip))) in {str(ip), str(IPAddress(int(ip), ip.version))}


@pytest.mark.parametrize("text", ["::1:0", "::ffff:a00:1", "::ffff:10.0.0.1", "::10.0.0.1"])
def test_an_ipv4_address_inside_an_ipv6_one_is_refused_however_it_is_typed(text: str) -> None:
    with pytest.raises(InvalidValue, match="invalid IP address"):
        address.parse_address(text)


embedded = st.integers(0, 2**34) | st.integers(0xFFFE << 32, 0x1_0001 << 32)


@given(embedded | st.integers(0, 2**128 - 1))
def test_an_ipv6_address_that_would_be_written_with_an_ipv4_one_is_refused(value: int) -> None:
    text = ":".join(f"{value >> shift & 0xFFFF:x}" for shift in range(112, -1, -16))
    written = str(IPAddress(value, 6))
    if "." in written:
        with pytest.raises(InvalidValue):
            address.parse_ipv6(text)
    else:
        assert address.parse_ipv6(text) == IPAddress(value, 6)


groups = st.lists(st.sampled_from(["0", "1", "a0", "ffff", "FE80", "01"]), min_size=1, max_size=7)
spelt = st.text(alphabet=":10aF.", max_size=12) | st.builds(
    lambda before, after: ":".join(before) + "::" + ":".join(after), groups, groups
)


@given(spelt | st.ip_addresses().map(str))
@example("1:1:1:1::1:1:1")
def test_a_text_is_made_canonical_if_and_only_if_it_is_an_address(text: str) -> None:
    for parse, canonical in (
        (address.parse_ipv4, address.canonical_ipv4),
        (address.parse_ipv6, address.canonical_ipv6),
    ):
        try:
            expected = str(parse(text))
        except InvalidValue:
            with pytest.raises(InvalidValue):
                canonical(text)
        else:
            assert canonical(text) == expected


@given(st.text())
def test_any_text_is_an_address_or_invalid(text: str) -> None:
    for parse in (address.parse_address, address.parse_network, address.parse_mac):
        try:
            parse(text)
        except InvalidValue:
            continue


def test_families_are_kept_apart() -> None:
    assert address.parse_ipv4("1.2.3.4") == IPAddress("1.2.3.4")
    assert address.parse_ipv6("fd80::1") == IPAddress("fd80::1")
    with pytest.raises(InvalidValue, match="IPv4 address"):
        address.parse_ipv4("fd80::1")
    with pytest.raises(InvalidValue, match="IPv6 address"):
        address.parse_ipv6("1.2.3.4")


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.65.3.4/16", "10.65.0.0/16"),
        ("10.65.3.4", "10.65.3.4/32"),
        ("fd80::5/64", "fd80::/64"),
        ("0.0.0.0/0", "0.0.0.0/0"),
    ],
)
def test_a_network_has_its_host_bits_cleared(text: str, network: str) -> None:
    assert address.parse_network(text) == IPNetwork(network)


@pytest.mark.parametrize("text", ["10.65.3.4/16", "fd80::5/64", "1.2.3.4/0"])
def test_who_types_host_bits_is_asked_what_is_meant(text: str) -> None:
    with pytest.raises(InvalidValue, match="expected no bits beyond the prefix length, as in"):
        address.parse_exact_network(text)


def test_a_network_that_is_typed_exactly_is_read() -> None:
    for text in ("10.65.0.0/16", "10.65.3.4", "fd80::/64", "fd80:0::/64", "0.0.0.0/0"):
        assert address.parse_exact_network(text) == address.parse_network(text)


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.0/33",
        "fd80::/129",
        "10.0.0.0/",
        "/8",
        "10.0.0.0/08",
        "10/8",
        "10.0.0.0/255.0.0.0",
        "10.0.0.0/-1",
        "10.0.0.0/8/8",
        "10.0.0.0/ 8",
    ],
)
def test_what_is_not_plainly_a_network_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="invalid CIDR"):
        address.parse_network(text)


def test_a_wish_is_an_address_a_pool_or_a_family() -> None:
    assert address.parse_address_request("IPv4") is AnyAddress.IPV4
    assert address.parse_address_request("ipv6") is AnyAddress.IPV6
    assert address.parse_address_request("10.0.0.0/8") == IPNetwork("10.0.0.0/8")
    assert address.parse_address_request("10.0.0.1") == IPAddress("10.0.0.1")
    with pytest.raises(InvalidValue, match="or the CIDR of a configured pool"):
        address.parse_address_request("auto")


@pytest.mark.parametrize(
    ("request_", "family"),
    [(AnyAddress.IPV4, 4), (AnyAddress.IPV6, 6), (IPNetwork("fd80::/64"), 6), (IPAddress(1, 4), 4)],
)
def test_the_family_of_what_is_wished_for_is_known(request_, family: int) -> None:
    assert address.wanted_family(request_) == family


def test_a_mac_address_is_written_in_lower_case() -> None:
    assert address.parse_mac("02:AB:00:00:00:01") == "02:ab:00:00:00:01"
    for text in ("02-ab-00-00-00-01", "02:ab:00:00:00", "02:ab:00:00:00:0g", "02:ab:00:00:00:01\n"):
        with pytest.raises(InvalidValue):
            address.parse_mac(text)


def test_an_address_is_a_network_of_itself() -> None:
    assert address.host_network(IPAddress("10.0.0.1")) == "10.0.0.1/32"
    assert address.host_network(IPAddress("fd80::1")) == "fd80::1/128"
