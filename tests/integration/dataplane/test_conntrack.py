"""Known connections of an address that changes hands."""

from netaddr import IPAddress

from calico_ctl.dataplane import conntrack
from tests.support.netns import private_netns

FLOW = "-p udp -t 60 --sport 1000 --dport 53 -s {} -d {}"


def test_connections_from_and_to_an_address_are_forgotten_and_others_stay() -> None:
    with private_netns() as host, host.entered():
        for source, target in (
            ("10.0.0.1", "10.0.0.9"),
            ("10.0.0.9", "10.0.0.1"),
            ("10.0.0.2", "10.0.0.9"),
            ("fd80::1", "fd80::9"),
        ):
            host.run(["conntrack", "-I", *FLOW.format(source, target).split()])
        conntrack.forget([IPAddress("10.0.0.1"), IPAddress("fd80::1"), IPAddress("10.0.0.77")])
        left = host.run(["conntrack", "-L"]).out + host.run(["conntrack", "-L", "-f", "ipv6"]).out
        assert "src=10.0.0.2" in left
        assert "10.0.0.1 " not in left
        assert "fd80::1 " not in left


def test_a_connection_that_was_translated_to_the_address_is_forgotten() -> None:
    with private_netns() as host, host.entered():
        translated = FLOW.format("10.0.0.2", "10.0.0.9") + (
            " --reply-src 10.0.0.1 --reply-dst 10.0.0.2 --reply-port-src 53 --reply-port-dst 1000"
        )
        host.run(["conntrack", "-I", *translated.split()])
        assert "src=10.0.0.1" in host.run(["conntrack", "-L"]).out
        conntrack.forget([IPAddress("10.0.0.1")])
        assert "10.0.0.1" not in host.run(["conntrack", "-L"]).out
