"""What of the cluster's policy matters on this host, and the table that enforces it.

Fail closed: the maps from interface to chain list only endpoints that are known and active; every
other interface of ours falls through to a drop. The static chains are the tested design:

- spoofed sources, router advertisements and redirects end in `anti-spoof`, before conntrack;
- forwarded packets ask the sender's chain, then the receiver's; `ok` marks what both accepted;
- packets to this host ask the sender's chain, then the setting DefaultEndpointToHostAction;
- packets from this host to its containers are not asked.
"""

from collections.abc import Iterable

from netaddr import IPNetwork, cidr_merge

from calico_ctl.model import address
from calico_ctl.model.address import FAMILIES, Family
from calico_ctl.model.endpoint import Endpoint, State
from calico_ctl.model.names import INTERFACE_PREFIX
from calico_ctl.model.pool import Pool
from calico_ctl.model.rule import Direction
from calico_ctl.model.snapshot import Snapshot
from calico_ctl.policy import compile as policy_compile
from calico_ctl.policy.compile import ACCEPTED, CLEAR_MARKS
from calico_ctl.policy.ruleset import Chain, Ruleset, Set, VerdictMap
from calico_ctl.policy.tags import TagIndex

TO_HOST_SETTING = "DefaultEndpointToHostAction"
TO_HOST_DEFAULT = "RETURN"

_OURS = f'"{INTERFACE_PREFIX}*"'
_TO_HOST = {
    "RETURN": ("jump disp-from", "return"),
    "ACCEPT": ("jump disp-from", "accept"),
    "DROP": ("counter drop",),
}
_ADDRESS_TYPE = {4: "ipv4_addr", 6: "ipv6_addr"}


def local_endpoints(snapshot: Snapshot, hostname: str) -> list[Endpoint]:
    """Return this host's active endpoints whose interface name is ours, in order of their keys.

    Two endpoints that claim one interface are both left out: either could be the wrong one.
    """
    candidates = [
        endpoint
        for key, endpoint in sorted(snapshot.endpoints.items())
        if key.host == hostname and endpoint.state is State.ACTIVE
    ]
    claims: dict[str, int] = {}
    for endpoint in candidates:
        claims[endpoint.name] = claims.get(endpoint.name, 0) + 1
    return [
        endpoint
        for endpoint in candidates
        if endpoint.name.startswith(INTERFACE_PREFIX) and claims[endpoint.name] == 1
    ]


def ruleset(snapshot: Snapshot, tags: TagIndex, hostname: str) -> Ruleset:
    """Return the table that this host's kernel shall hold for the snapshot."""
    local = local_endpoints(snapshot, hostname)
    profiles = sorted({profile for endpoint in local for profile in endpoint.profiles})
    to_host = snapshot.setting(hostname, TO_HOST_SETTING, TO_HOST_DEFAULT)
    return Ruleset(
        chains=_static_chains(to_host) | _profile_chains(snapshot, profiles) | _chains_of(local),
        sets=_pool_sets(snapshot.pools.values())
        | _source_sets(local)
        | _tag_sets(snapshot, profiles, tags),
        maps=_dispatch(local),
    )


def empty() -> Ruleset:
    """Return the table before anything is known: nothing passes any interface of ours."""
    return ruleset(Snapshot(), TagIndex(), "")


def _profile_chains(snapshot: Snapshot, profiles: Iterable[str]) -> dict[str, Chain]:
    return {
        policy_compile.profile_chain(name, direction): Chain(
            policy_compile.profile_rules(snapshot.rules.get(name), direction)
        )
        for name in profiles
        for direction in Direction
    }


def _chains_of(local: Iterable[Endpoint]) -> dict[str, Chain]:
    return {
        policy_compile.endpoint_chain(endpoint.name, direction): Chain(
            policy_compile.endpoint_rules(endpoint.profiles, direction)
        )
        for endpoint in local
        for direction in Direction
    }


def _dispatch(local: Iterable[Endpoint]) -> dict[str, VerdictMap]:
    local = tuple(local)
    return {
        name: VerdictMap(
            {
                f'"{endpoint.name}"': (
                    f"goto {policy_compile.endpoint_chain(endpoint.name, direction)}"
                )
                for endpoint in local
            }
        )
        for name, direction in (("from-ep", Direction.OUTBOUND), ("to-ep", Direction.INBOUND))
    }


def _source_sets(local: Iterable[Endpoint]) -> dict[str, Set]:
    """Bind interface, MAC (where known) and address, so that nobody can use another's address."""
    local = tuple(local)
    sets = {}
    for family in FAMILIES:
        kind = _ADDRESS_TYPE[family]
        with_mac = frozenset(
            f'"{each.name}" . {each.mac} . {ip}'
            for each in local
            if each.mac is not None
            for ip in each.of_family(family)
        )
        without = frozenset(
            f'"{each.name}" . {ip}'
            for each in local
            if each.mac is None
            for ip in each.of_family(family)
        )
        sets[f"src{family}m"] = Set(f"ifname . ether_addr . {kind}", with_mac)
        sets[f"src{family}"] = Set(f"ifname . {kind}", without)
    return sets


def _tag_sets(snapshot: Snapshot, profiles: Iterable[str], tags: TagIndex) -> dict[str, Set]:
    used = {
        tag
        for name in profiles
        if (rules := snapshot.rules.get(name)) is not None
        for tag in rules.tags()
    }
    return {
        policy_compile.tag_set(tag, family): Set(
            _ADDRESS_TYPE[family], frozenset(str(ip) for ip in tags.members(tag, family))
        )
        for tag in used
        for family in FAMILIES
    }


def _pool_sets(pools: Iterable[Pool]) -> dict[str, Set]:
    pools = tuple(pools)
    sets = {}
    for family in FAMILIES:
        sets[f"pools{family}"] = _networks(family, (pool.cidr for pool in pools))
        sets[f"masq{family}"] = _networks(family, (pool.cidr for pool in pools if pool.masquerade))
    return sets


def _networks(family: Family, cidrs: Iterable[IPNetwork]) -> Set:
    ours = [cidr for cidr in cidrs if address.family(cidr) == family]
    elements = frozenset(str(cidr) for cidr in cidr_merge(ours))
    return Set(_ADDRESS_TYPE[family], elements, interval=True)


def _static_chains(to_host: str) -> dict[str, Chain]:
    # An unknown setting closes: the reader of the setting reports it, we do not guess.
    to_host_rules = _TO_HOST.get(to_host.upper(), _TO_HOST["DROP"])
    return {
        "raw-pre": Chain(
            (f"iifname {_OURS} jump anti-spoof",), "filter hook prerouting priority raw"
        ),
        "anti-spoof": Chain(_ANTI_SPOOF),
        "flt-fwd": Chain(_FORWARD, "filter hook forward priority filter - 5"),
        "ok": Chain((f"meta mark set meta mark | {ACCEPTED} accept",)),
        "flt-in": Chain(_INPUT + to_host_rules, "filter hook input priority filter - 5"),
        "nat-post": Chain(_MASQUERADE, "nat hook postrouting priority srcnat - 5"),
        "disp-from": Chain(("iifname vmap @from-ep", "counter drop")),
        "disp-to": Chain(("oifname vmap @to-ep", "counter drop")),
    }


_ANTI_SPOOF = (
    "icmpv6 type { nd-router-advert, nd-redirect, router-renumbering } counter drop",
    "iifname . ether saddr . ip saddr @src4m return",
    "iifname . ether saddr . ip6 saddr @src6m return",
    "iifname . ip saddr @src4 return",
    "iifname . ip6 saddr @src6 return",
    "ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 return",
    "ip6 saddr fe80::/10 ip6 hoplimit 255"
    " icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } return",
    "ip6 saddr fe80::/10 ip6 daddr ff00::/8"
    " icmpv6 type { mld-listener-report, mld-listener-done, mld2-listener-report } return",
    "ip6 saddr :: icmpv6 type"
    " { nd-neighbor-solicit, nd-router-solicit, mld-listener-report, mld2-listener-report } return",
    "ip6 saddr fe80::/10 udp sport 546 udp dport 547 return",
    "counter drop",
)

_FORWARD = (
    f"iifname != {_OURS} oifname != {_OURS} return",
    "ct state vmap { established : goto ok, related : goto ok, invalid : drop }",
    CLEAR_MARKS,
    f"iifname {_OURS} jump disp-from",
    CLEAR_MARKS,
    f"oifname {_OURS} jump disp-to",
    "goto ok",
)

_INPUT = (
    f"iifname != {_OURS} return",
    "ct state vmap { established : accept, related : accept, invalid : drop }",
    "icmpv6 type { mld-listener-query, mld-listener-report, mld-listener-done,"
    " mld2-listener-report, nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } accept",
    "udp sport . udp dport { 68 . 67, 546 . 547 } accept",
    "meta l4proto { tcp, udp } th dport 53 accept",
    CLEAR_MARKS,
)

_MASQUERADE = (
    "ip saddr @masq4 ip daddr != @pools4 masquerade",
    "ip6 saddr @masq6 ip6 daddr != @pools6 masquerade",
)
