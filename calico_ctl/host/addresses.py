"""The addresses of this machine, and which of them is the one to use if nobody says."""

import json
import re
from dataclasses import dataclass

from netaddr import IPAddress

from calico_ctl.host import command

_VIRTUAL = re.compile(r"(lo|docker|br-|veth|cbr|cali|tunl|virbr|vxlan|tap|cni|flannel)")
"""Interfaces of containers, bridges and tunnels: their addresses are not this machine's own."""


@dataclass(frozen=True, slots=True)
class LocalAddress:
    """An address of global scope on an interface of this machine."""

    interface: str
    ip: IPAddress


def local() -> list[LocalAddress]:
    """Return this machine's addresses in the kernel's order."""
    return parse(command.run(["ip", "-j", "addr", "show"]))


def detect_ipv4() -> LocalAddress | None:
    """Return the address to use: on the interface of the default route, else on the first."""
    defaults = json.loads(command.run(["ip", "-j", "-4", "route", "show", "default"]) or "[]")
    preferred = [str(route["dev"]) for route in defaults if "dev" in route]
    return choose_ipv4(local(), preferred)


def parse(shown: str) -> list[LocalAddress]:
    """Read what `ip -j addr show` prints."""
    return [
        LocalAddress(str(link["ifname"]), IPAddress(info["local"]))
        for link in json.loads(shown or "[]")
        for info in link.get("addr_info", [])
        if info.get("scope") == "global" and "local" in info
    ]


def choose_ipv4(addresses: list[LocalAddress], preferred: list[str]) -> LocalAddress | None:
    """Choose among the addresses of real interfaces; those of `preferred` interfaces first."""
    usable = [
        each for each in addresses if each.ip.version == 4 and not _VIRTUAL.match(each.interface)
    ]
    first = [each for name in preferred for each in usable if each.interface == name]
    return next(iter(first + usable), None)
