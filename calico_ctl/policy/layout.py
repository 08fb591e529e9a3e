"""The part of the table `inet calico` that is the same on every host, and what hangs below it.

Fail closed: the maps from interface to chain list only endpoints that are known and active; every
other interface of ours falls through to a drop. The chains are the tested design:

- spoofed sources end in `raw-pre`, before conntrack;
- a MAC that is not the endpoint's can harm nobody else on a link with two ends, and an answer of a
  DHCP server or a router advertisement that nobody asked for begins a flow: so `check-first` looks
  for them in the first packet of a flow only. For each packet it would cost as much as conntrack;
- forwarded packets ask the sender's chain, then the receiver's; what both accepted is marked;
- packets to this host ask the sender's chain, then the setting DefaultEndpointToHostAction;
- packets from this host to its containers are not asked;
- only a packet that carries the mark of a profile's consent goes on, whatever way it took;
- the first packet of a TCP connection is a SYN. Otherwise a connection that a changed policy has
  cut would begin anew, in the direction in which it is allowed, with the next data packet.

Whatever drops a packet of an endpoint does so in one of the chains `drop-*`, where a set of
counters, one for each interface of ours, tells whose it was.
"""

from collections.abc import Iterable

from netaddr import IPAddress

from calico_ctl.model.address import FAMILIES
from calico_ctl.model.encapsulation import DEVICES, IPIP_PROTOCOL, VXLAN_PORT
from calico_ctl.model.names import INTERFACE_PREFIX
from calico_ctl.policy.compile import ACCEPTED, CLEAR_MARKS, IS_NOT_ALLOWED, TCP_OR_UDP
from calico_ctl.policy.ruleset import Chain, Set

TO_HOST_SETTING = "DefaultEndpointToHostAction"
TO_HOST_DEFAULT = "RETURN"
TO_HOST_CHAIN = "to-host"
MASQUERADE_CHAIN = "nat-post"

TO_ENDPOINTS = "to-ep"
DISPATCH = ("from-ep", TO_ENDPOINTS)
"""Maps from interface to the chain for packets from, and to, its endpoint."""

DROPPED = ("from-drops", "to-drops", "spoofed")
"""Counting sets: packets of an interface dropped by policy (from it, to it), or as spoofed."""

MACS, ANY_MAC = "macs", "any-mac"
"""Sets: interface and MAC of endpoints whose MAC is known, interfaces of the others."""

ADDRESS_TYPE = {4: "ipv4_addr", 6: "ipv6_addr"}

_OURS = f'"{INTERFACE_PREFIX}*"'
_ACCEPT = f"meta mark set meta mark | {ACCEPTED} accept"
_FIRST_OF_TCP = "tcp flags & (fin | syn | rst | ack) != syn"
_TO_HOST = {
    "RETURN": ("jump disp-from", f"{IS_NOT_ALLOWED} goto drop-from", "return"),
    "ACCEPT": ("jump disp-from", f"{IS_NOT_ALLOWED} goto drop-from", "accept"),
    "DROP": ("goto drop-from",),
}


def is_to_host_action(setting: str) -> bool:
    """Say whether a value of the setting means something."""
    return setting.upper() in _TO_HOST


def to_host_action(setting: str) -> str:
    """Return what is done with packets to the host; an unknown setting closes."""
    return setting.upper() if is_to_host_action(setting) else "DROP"


def static_chains() -> dict[str, Chain]:
    """Return the chains that never change."""
    return {
        "raw-pre": Chain(_ANTI_SPOOF, "filter hook prerouting priority raw"),
        "check-first": Chain(
            (
                "udp sport 67 udp dport 68 goto drop-spoofed",
                "udp sport 547 udp dport 546 goto drop-spoofed",
                "icmpv6 type { nd-router-advert, nd-redirect, router-renumbering }"
                " goto drop-spoofed",
                f"iifname . ether saddr @{MACS} return",
                f"iifname @{ANY_MAC} return",
                "goto drop-spoofed",
            )
        ),
        "flt-fwd": Chain(_FORWARD, "filter hook forward priority filter - 5"),
        "flt-in": Chain(_INPUT, "filter hook input priority filter - 5"),
        "disp-from": Chain(("iifname vmap @from-ep", "counter drop")),
        "disp-to": Chain(("oifname vmap @to-ep", "counter drop")),
        "drop-from": Chain(("iifname @from-drops drop", "counter drop")),
        "drop-to": Chain(("oifname @to-drops drop", "counter drop")),
        "drop-spoofed": Chain(("iifname @spoofed drop", "counter drop")),
    }


def to_host_chain(setting: str) -> Chain:
    """Return the chain for packets to this host that the setting decides about."""
    return Chain(_TO_HOST[to_host_action(setting)])


def masquerade_chain() -> Chain:
    """Return the chain that hides pools behind the host.

    It is there only while some pool wants it: where there is a chain for address translation, each
    packet of the host is asked about it.
    """
    return Chain(_MASQUERADE, "nat hook postrouting priority srcnat - 5")


def tunnel_chains() -> dict[str, Chain]:
    """Return the chains that guard tunnels; they are there only while some pool needs one.

    Only hosts of the cluster send into a tunnel. What a container sends to the tunnel of a host,
    this one or another, could come out there as anybody's; another host could not tell it from
    this host's own packets once it has this host's address.
    """
    return {
        "tunnel-in": Chain(_TUNNEL_INPUT, "filter hook input priority filter - 6"),
        "tunnel-fwd": Chain(_TUNNEL_FORWARD, "filter hook forward priority filter - 6"),
    }


def host_sets(hosts: Iterable[IPAddress]) -> dict[str, Set]:
    """Return the sets that the chains of `tunnel_chains` look up: the addresses of all hosts."""
    known = frozenset(hosts)
    return {
        f"hosts{family}": Set(
            ADDRESS_TYPE[family], frozenset(str(ip) for ip in known if ip.version == family)
        )
        for family in FAMILIES
    }


def static_sets() -> dict[str, Set]:
    """Return the sets that are always there, empty but for what never changes."""
    sets = {TCP_OR_UDP: Set("inet_proto", frozenset({"6", "17"}))}
    sets |= {name: Set("ifname", counted=True) for name in DROPPED}
    sets |= {MACS: Set("ifname . ether_addr"), ANY_MAC: Set("ifname")}
    for family, kind in ADDRESS_TYPE.items():
        sets[f"src{family}"] = Set(f"ifname . {kind}")
        sets[f"pools{family}"] = Set(kind, interval=True)
        sets[f"masq{family}"] = Set(kind, interval=True)
    return sets


# Each packet is asked, and not only the first of a flow: most packets first, and no jump, which
# costs half as much as the lookup.
_ANTI_SPOOF = (
    f"iifname != {_OURS} accept",
    "iifname . ip saddr @src4 accept",
    "iifname . ip6 saddr @src6 accept",
    "ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept",
    "ip6 saddr fe80::/10 ip6 hoplimit 255"
    " icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } accept",
    "ip6 saddr fe80::/10 ip6 daddr ff00::/8"
    " icmpv6 type { mld-listener-report, mld-listener-done, mld2-listener-report } accept",
    "ip6 saddr :: icmpv6 type"
    " { nd-neighbor-solicit, nd-router-solicit, mld-listener-report, mld2-listener-report } accept",
    "ip6 saddr fe80::/10 udp sport 546 udp dport 547 accept",
    "goto drop-spoofed",
)

_FORWARD = (
    f"iifname != {_OURS} oifname != {_OURS} return",
    f"ct state established,related {_ACCEPT}",
    "ct state invalid drop",
    f"{_FIRST_OF_TCP} counter drop",
    f"iifname {_OURS} jump check-first",
    CLEAR_MARKS,
    f"iifname {_OURS} jump disp-from",
    f"iifname {_OURS} {IS_NOT_ALLOWED} goto drop-from",
    CLEAR_MARKS,
    f"oifname {_OURS} jump disp-to",
    f"oifname {_OURS} {IS_NOT_ALLOWED} goto drop-to",
    _ACCEPT,
)

_INPUT = (
    f"iifname != {_OURS} return",
    "ct state established,related accept",
    "ct state invalid drop",
    "jump check-first",
    "icmpv6 type { mld-listener-query, mld-listener-report, mld-listener-done,"
    " mld2-listener-report, nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } accept",
    "udp sport 68 udp dport 67 accept",
    "udp sport 546 udp dport 547 accept",
    f"{_FIRST_OF_TCP} counter drop",
    f"meta l4proto @{TCP_OR_UDP} th dport 53 accept",
    CLEAR_MARKS,
    f"goto {TO_HOST_CHAIN}",
)

_VXLAN = f"udp dport {VXLAN_PORT}"
_IPIP = f"meta l4proto {IPIP_PROTOCOL}"

_TUNNEL_INPUT = (
    f"iifname {_OURS} {_VXLAN} counter drop",
    f"iifname {_OURS} {_IPIP} counter drop",
    f"{_VXLAN} ip saddr != @hosts4 counter drop",
    f"{_VXLAN} ip6 saddr != @hosts6 counter drop",
    f"{_IPIP} ip saddr != @hosts4 counter drop",
)

_TUNNEL_FORWARD = (
    f"iifname != {_OURS} return",
    f"{_VXLAN} ip daddr @hosts4 counter drop",
    f"{_VXLAN} ip6 daddr @hosts6 counter drop",
    f"{_IPIP} ip daddr @hosts4 counter drop",
)

# What goes into a tunnel goes to a container or a host of the cluster, which answers through it.
_MASQUERADE = (
    *(f'oifname "{device}" return' for device in sorted(DEVICES.values())),
    "ip saddr @masq4 ip daddr != @pools4 masquerade",
    "ip6 saddr @masq6 ip6 daddr != @pools6 masquerade",
)
