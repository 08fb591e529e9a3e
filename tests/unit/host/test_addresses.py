"""Which of a machine's addresses is taken if nobody says."""

import json

from calico_ctl.host import addresses


def shown(*links: tuple[str, str, str]) -> str:
    return json.dumps(
        [
            {"ifname": name, "addr_info": [{"local": ip, "scope": scope}]}
            for name, ip, scope in links
        ]
    )


def chosen(text: str, *preferred: str) -> str | None:
    found = addresses.choose_ipv4(addresses.parse(text), list(preferred))
    return None if found is None else f"{found.ip} {found.interface}"


def test_the_interface_of_the_default_route_is_preferred():
    text = shown(("eth0", "10.0.0.1", "global"), ("eth1", "10.1.0.1", "global"))
    assert chosen(text) == "10.0.0.1 eth0"
    assert chosen(text, "eth1") == "10.1.0.1 eth1"


def test_bridges_containers_and_tunnels_are_passed_over():
    text = shown(
        ("lo", "127.0.0.1", "host"),
        ("docker0", "172.17.0.1", "global"),
        ("br-5f3c", "172.18.0.1", "global"),
        ("cali123", "192.168.1.1", "global"),
    )
    assert chosen(text) is None
    assert chosen(text, "docker0") is None


def test_ipv6_and_link_local_addresses_are_not_taken():
    assert chosen(shown(("eth0", "fd80::1", "global"), ("eth0", "169.254.0.1", "link"))) is None


def test_nothing_to_show_is_no_address():
    assert addresses.parse("") == []
