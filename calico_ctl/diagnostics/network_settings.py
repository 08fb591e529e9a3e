"""Checks of how this machine's network is set up: forwarding, reverse-path filter, MTU."""

import json
import re
from functools import partial

from calico_ctl.diagnostics.check import Check, Complaint
from calico_ctl.host import addresses, command, kernel

_FORWARDING = {4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding"}
_RP_FILTER = "net/ipv4/conf/{}/rp_filter"
_LOOSE = "2"
_ETHERNET = 1500
_OURS = re.compile("cali")


def checks() -> list[Check]:
    """Return the checks."""
    return [
        Check("ip_forward", "IPv4 packets are passed on", _forwards_ipv4, partial(_forward, 4)),
        Check("forwarding6", "IPv6 packets are passed on", _forwards_ipv6, partial(_forward, 6)),
        Check("rp_filter", "no loose check of source addresses", _rp_filter, _be_strict),
        Check("mtu", "the uplink takes whole packets", _mtu),
    ]


def _forwards_ipv4() -> Complaint | None:
    return _forwards(4, grave=True)


def _forwards_ipv6() -> Complaint | None:
    return _forwards(6, grave=False)


def _forwards(family: int, *, grave: bool) -> Complaint | None:
    name = _FORWARDING[family]
    value = kernel.read_setting(name)
    # A kernel without the family: the check of what the kernel can do says so.
    if value is None or value == "1":
        return None
    return Complaint(
        f"this machine passes no IPv{family} packets on: {_dotted(name)} is {value}",
        f"`calicoctl node` or --fix sets it; to keep it: {_dotted(name)} = 1 in /etc/sysctl.d",
        grave,
    )


def _forward(family: int) -> None:
    kernel.write_setting(_FORWARDING[family], "1")


def _rp_filter() -> Complaint | None:
    name = _RP_FILTER.format("all")
    if kernel.read_setting(name) != _LOOSE:
        return None
    return Complaint(
        f"{_dotted(name)} is 2, which makes the kernel's own check of source addresses a loose one"
        " on containers' interfaces; only the policy's table is left against spoofed ones",
        f"--fix gives each other interface that value of its own; or {_dotted(name)} = 1 in"
        " /etc/sysctl.d",
        grave=False,
    )


def _be_strict() -> None:
    """Leave it loose where it is, but not for containers: the greater of `all` and own counts."""
    for name in [*_interfaces(), "default"]:
        if not _OURS.match(name):
            # An interface may have gone meanwhile.
            kernel.write_setting(_RP_FILTER.format(name), _LOOSE)
    kernel.write_setting(_RP_FILTER.format("all"), "0")


def _interfaces() -> list[str]:
    return [str(link["ifname"]) for link in json.loads(command.run(["ip", "-j", "link", "show"]))]


def _mtu() -> Complaint | None:
    uplink = addresses.detect_ipv4()
    if uplink is None:
        return Complaint(
            "this machine has no IPv4 address on an interface of its own",
            "give it one, or name one: calicoctl node --ip=<IP>",
            grave=False,
        )
    shown = command.run(["ip", "-j", "link", "show", "dev", uplink.interface])
    mtu = int(json.loads(shown)[0]["mtu"])
    if mtu >= _ETHERNET:
        return None
    return Complaint(
        f"the MTU of the uplink {uplink.interface} is {mtu}, less than Ethernet's {_ETHERNET}",
        "if connections of containers hang: let ICMP `fragmentation needed` through firewalls, or"
        " raise it; --vxlan takes 50 bytes more, --ipip 20",
        grave=False,
    )


def _dotted(name: str) -> str:
    return name.replace("/", ".")
