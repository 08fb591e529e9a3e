"""BIRD 2's configuration as text.

What it says, and why:

- The kernel protocol *learns* the agent's routes to local containers (`dev caliX`) if they lie in a
  pool, and prefers them to anything a peer says about the same address.
- The blocks of this host are *aggregates*: one route for each is announced, and none for the
  addresses in it. In this host's kernel it drops what is for an address that no container has; the
  route to a container is longer and wins. An address outside these blocks is announced by itself,
  so that it wins over the aggregate of whoever has its block.
- A block in which machines outside containers may be is no aggregate, so that a pool that overlaps
  the hosts' own network cuts nobody off: a block with a host's address, or in the subnet of this
  host. Nor is part of that subnet learnt from another host, but for single addresses.
- Peers get what this host has, in pools only: a pool that overlaps a network of the host must not
  announce that network. Only a route reflector passes on what others announce, with the next hop
  that they gave.
- From hosts of the cluster and from reflectors, routes inside pools only. From routers outside,
  everything but what nobody may announce (loopback, multicast, the hosts' addresses), a default
  route unless that was configured, and addresses in this host's own blocks. A router that is in
  error about a part of another host's block would draw its containers' packets to itself, because
  the longer route wins: where the hosts' own word is heard (the mesh, or a reflector), no part of
  any block is taken either. Such an address may be lent to another host, and come around; so
  without the mesh it is taken if the path of the route ends in the cluster, or the router reflects
  it. With the mesh the other host says so itself, and a path, which can be forged, opens nothing.
  Any other route in a pool is used only if no host and no reflector says anything about the same
  prefix.
- Only routes from peers, and the aggregates, go into the kernel. They *persist* when BIRD ends, so
  that a restart loses no packet; the next BIRD takes them over (graceful restart). For peers that
  restart at the same moment it does not wait (RFC 4724 has it so, lest all wait for each other),
  and would take their routes away milliseconds before they come again. So what a former BIRD left
  is *kept* as static routes, which lose against any other and are announced to nobody, until peers
  have said all of it again. Routes to encapsulated pools are left to whoever makes the tunnels.
- The way to a peer's address is looked for in a table of its own, the *underlay*: the networks that
  the host is in (without them, the default route would be it) and routes that the host has from
  elsewhere. What peers announce is not in there: none can draw to itself what is for another.
- Sessions are multihop, one per family: hosts may be in different networks, and routes of a family
  travel over that family. The timers make a session come up in seconds after either end restarts.
  Of two hosts the one with the lower address connects first: a second connection that comes when
  the first one is established is to BIRD another restart of its peer, and what was kept for the
  first restart is given up.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from netaddr import IPAddress, IPNetwork

from calico_ctl.bgp.sessions import Role, Session
from calico_ctl.model import address
from calico_ctl.model.address import Family
from calico_ctl.model.bgp import DEFAULT_PREFIX_LIMIT, LogLevel
from calico_ctl.model.names import INTERFACE_PREFIX

_HEAD = """\
# Written by calicoctl's routing service from etcd; changes made here are overwritten.
{log}\
router id {router_id};
# A dead peer delays the return of the others by this long after a restart.
graceful restart wait 15;

protocol device {{ scan time 10; }}

protocol direct own_networks {{
{channels}\
  interface "-{prefix}*", "-docker*", "*";
}}

# The routes of a former life, until peers have said them again.
include "kept*.conf";
"""

_LOGS = {
    LogLevel.NONE: "log stderr {{ error, fatal, bug }};\n",
    LogLevel.INFO: "log stderr {{ info, remote, warning, error, auth, fatal, bug, trace }};\n"
    "debug protocols {{ states }};\n",
    LogLevel.DEBUG: "log stderr all;\ndebug protocols all;\n",
}

_FAMILY = """
function in_pools{f}() {{ return {in_pools}; }}

function encapsulated{f}() {{ return {encapsulated}; }}

function in_own_blocks{f}() {{ return {in_own_blocks}; }}

function own{f}() {{
  if ! in_pools{f}() then return false;
  if proto = "blocks{f}" then return true;
  return proto = "kernel{f}" && ! in_own_blocks{f}();
}}

function never{f}() {{ return net ~ [ {never} ]; }}

function in_own_subnet{f}() {{ return {in_own_subnet}; }}

filter from_kernel{f} {{
  if in_pools{f}() && ifname !~ "{prefix}*" then reject;
  accept;
}}

filter to_kernel{f} {{
  if proto = "blocks{f}" then accept;
  if encapsulated{f}() || (source != RTS_BGP && proto != "kept{f}") then reject;
  krt_prefsrc = {own};
  accept;
}}

filter from_cluster{f} {{
  if in_pools{f}() && ! never{f}() && ! in_own_subnet{f}() then accept;
  reject;
}}

filter to_peer{f} {{
  if own{f}() then accept;
  reject;
}}
{blocks}\

protocol kernel kernel{f} {{
  learn;
  persist;
  scan time 20;
  graceful restart;
  ipv{f} {{
    preference 200;
    import filter from_kernel{f};
    export filter to_kernel{f};
  }};
}}

ipv{f} table underlay{f};

protocol pipe to_underlay{f} {{
  table underlay{f};
  peer table master{f};
  import where proto = "own_networks" || (proto = "kernel{f}" && ! in_pools{f}());
  export none;
}}

template bgp peer{f} {{
  local {own} as {as_number};
  multihop;
  connect delay time 1;
  connect retry time 5;
  error wait time 1, 10;
  hold time 90;
  graceful restart;
  ipv{f} {{
    import filter from_cluster{f};
    import limit {limit} action block;
    export filter to_peer{f};
    next hop self;
    igp table underlay{f};
  }};
}}
"""

_BLOCKS = """
protocol static blocks{f} {{
  ipv{f};
{routes}\
}}
"""

_ROUTERS = """
filter from_router{f} {{
  if never{f}() || net ~ [ {hosts} ] then reject;
{default_route}\
  # What a host of the cluster says about the same addresses is better.
  if in_pools{f}() then preference = 90;
  if ! ({of_hosts}) then accept;
{lent}\
  reject;
}}

template bgp router{f} from peer{f} {{
  ipv{f} {{ import filter from_router{f}; }};
}}
"""

_LENT = """\
  if bgp_path.last ~ [ {as_numbers} ] then accept;
  if bgp_path.len = 0 && defined(bgp_originator_id) then accept;
"""

_PART_OF_A_BLOCK = "in_own_blocks{f}() || (in_pools{f}() && net.len > {length})"

_NO_DEFAULT_ROUTE = "  if net = {default} then reject;\n"

_REFLECTING = """
filter to_client{f} {{
  if own{f}() then accept;
  if source = RTS_BGP && in_pools{f}() then accept;
  reject;
}}

template bgp reflecting{f} from peer{f} {{
  rr cluster id {cluster_id};
  ipv{f} {{
    export filter to_client{f};
    next hop self off;
    next hop keep;
  }};
}}
"""

_SESSION = """
protocol bgp {name} from {template} {{
  neighbor {neighbour} as {as_number};
{more}\
}}
"""

_NEVER: dict[Family, tuple[str, ...]] = {
    4: ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3"),
    6: ("::/127", "fe80::/10", "ff00::/8"),
}
_DEFAULT: dict[Family, str] = {4: "0.0.0.0/0", 6: "::/0"}
_BLOCK_LENGTH: dict[Family, int] = {4: 26, 6: 122}
_TEMPLATES = {Role.ROUTER: "router", Role.CLIENT: "reflecting", Role.FELLOW: "reflecting"}


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that BIRD on one host depends on. The router id is the IPv4 address.

    `hosts` and `as_numbers` are the addresses and AS numbers of all hosts. `subnets` are those that
    the own addresses are in. `encapsulated` are the pools whose routes others put into the kernel.
    `cluster_ids` say of which cluster this host is a route reflector, by family.
    """

    ipv4: IPAddress
    ipv6: IPAddress | None
    as_number: int
    pools: tuple[IPNetwork, ...]
    sessions: tuple[Session, ...]
    hosts: frozenset[IPAddress] = frozenset()
    subnets: tuple[IPNetwork, ...] = ()
    as_numbers: frozenset[int] = frozenset()
    encapsulated: tuple[IPNetwork, ...] = ()
    blocks: tuple[IPNetwork, ...] = ()
    cluster_ids: tuple[tuple[Family, IPAddress], ...] = ()
    accept_default_route: bool = False
    prefix_limit: int = DEFAULT_PREFIX_LIMIT
    log_level: LogLevel = LogLevel.INFO


def render(config: Config) -> str:
    """Write the whole configuration."""
    own = [config.ipv4] if config.ipv6 is None else [config.ipv4, config.ipv6]
    families = [address.family(ip) for ip in own]
    head = _HEAD.format(
        log=_LOGS[config.log_level].format(),
        router_id=config.ipv4,
        prefix=INTERFACE_PREFIX,
        channels="".join(f"  ipv{family};\n" for family in families),
    )
    return head + "".join(
        _family(config, ip, family) for ip, family in zip(own, families, strict=True)
    )


def _family(config: Config, own: IPAddress, family: Family) -> str:
    blocks = _announced(config, family)
    common = _FAMILY.format(
        f=family,
        own=own,
        prefix=INTERFACE_PREFIX,
        as_number=config.as_number,
        limit=config.prefix_limit,
        in_pools=_within(_of(family, config.pools)),
        encapsulated=_within(_of(family, config.encapsulated)),
        in_own_blocks=_within(blocks),
        in_own_subnet=_in_subnets(_of(family, config.subnets)),
        never=", ".join([*(f"{cidr}+" for cidr in _NEVER[family]), address.host_network(own)]),
        blocks=_blocks(blocks, family),
    )
    sessions = [session for session in config.sessions if session.family == family]
    return (
        common
        + _routers(config, sessions, family)
        + _reflecting(config, sessions, family)
        + "".join(_session(config, session) for session in sessions)
    )


def _announced(config: Config, family: Family) -> list[IPNetwork]:
    """Return the blocks that can be aggregates: in a pool as a whole, and for containers alone."""
    pools = _of(family, config.pools)
    machines = [(int(ip), int(ip)) for ip in _known_hosts(config, family)]
    machines += [(subnet.first, subnet.last) for subnet in _of(family, config.subnets)]

    def is_for_containers(block: IPNetwork) -> bool:
        start, end = block.first, block.last
        return not any(first <= end and start <= last for first, last in machines)

    in_pools = (each for each in _of(family, config.blocks) if any(each in pool for pool in pools))
    return [block for block in in_pools if is_for_containers(block)]


def _blocks(blocks: Iterable[IPNetwork], family: Family) -> str:
    routes = "".join(f"  route {block} blackhole;\n" for block in blocks)
    return _BLOCKS.format(f=family, routes=routes) if routes else ""


def _routers(config: Config, sessions: Sequence[Session], family: Family) -> str:
    if not any(session.role is Role.ROUTER for session in sessions):
        return ""
    # Where no host but a few are heard, what they lend to each other may come from routers alone.
    are_heard = any(session.hears_all_hosts for session in sessions)
    of_hosts = _PART_OF_A_BLOCK if are_heard else "in_own_blocks{f}()"
    # A rack's reflector may know the rack alone, and what other racks lend comes from a router.
    in_mesh = any(session.in_mesh for session in sessions)
    known = ", ".join(str(each) for each in sorted({*config.as_numbers, config.as_number}))
    refusal = _NO_DEFAULT_ROUTE.format(default=_DEFAULT[family])
    return _ROUTERS.format(
        f=family,
        default_route="" if config.accept_default_route else refusal,
        hosts=", ".join(address.host_network(ip) for ip in _known_hosts(config, family)),
        of_hosts=of_hosts.format(f=family, length=_BLOCK_LENGTH[family]),
        lent="" if in_mesh else _LENT.format(as_numbers=known),
    )


def _known_hosts(config: Config, family: Family) -> list[IPAddress]:
    """Return the addresses of all hosts, sorted; this host's own is among them."""
    own = config.ipv4 if family == 4 else config.ipv6
    known = {ip for ip in (*config.hosts, own) if ip is not None and address.family(ip) == family}
    return sorted(known)


def _reflecting(config: Config, sessions: Iterable[Session], family: Family) -> str:
    cluster_id = dict(config.cluster_ids).get(family)
    if cluster_id is None or not any(_template(each) == "reflecting" for each in sessions):
        return ""
    return _REFLECTING.format(f=family, cluster_id=cluster_id)


def _session(config: Config, session: Session) -> str:
    more = []
    if session.role is Role.CLIENT and session.as_number == config.as_number:
        more.append("rr client;")
    if session.role is not Role.ROUTER and _is_second(config, session):
        more.append("connect delay time 3;")
    if session.password:
        more.append(f'password "{session.password}";')
    if session.role in {Role.REFLECTOR, Role.FELLOW}:
        # It announces what all hosts have.
        more.append(f"ipv{session.family} {{ import limit off; }};")
    return _SESSION.format(
        name=session.name,
        template=f"{_template(session)}{session.family}",
        neighbour=session.neighbour,
        as_number=session.as_number,
        more="".join(f"  {line}\n" for line in more),
    )


def _is_second(config: Config, session: Session) -> bool:
    """Say which end leaves it to the other one to connect first."""
    own = config.ipv4 if session.family == 4 else config.ipv6
    return own is not None and own > session.neighbour


def _template(session: Session) -> str:
    return _TEMPLATES.get(session.role, "peer")


def _of(family: Family, cidrs: Iterable[IPNetwork]) -> list[IPNetwork]:
    return [cidr for cidr in cidrs if address.family(cidr) == family]


def _within(cidrs: Iterable[IPNetwork]) -> str:
    """Write the condition that a route lies in one of these."""
    return _one_of(f"{cidr}+" for cidr in cidrs)


def _in_subnets(cidrs: Iterable[IPNetwork]) -> str:
    """Write the condition that a route is part of one of these, and of more than one address."""
    return _one_of(
        f"{cidr}{{{cidr.prefixlen},{address.width(cidr) - 1}}}"
        for cidr in cidrs
        if cidr.prefixlen < address.width(cidr)
    )


def _one_of(patterns: Iterable[str]) -> str:
    """Write the condition that a route fits one of these; BIRD has no empty set."""
    listed = ", ".join(patterns)
    return f"net ~ [ {listed} ]" if listed else "false"
