"""BIRD 2's configuration as text.

What it says, and why:

- The kernel protocol *learns* the agent's routes to local containers (`dev caliX`) if they lie in a
  pool, and prefers them to anything a peer says about the same address.
- Peers get routes inside pools only, and only those that lead to containers: a pool that overlaps
  a network of the host must not announce that network.
- From peers, routes inside pools only: a peer cannot take over a default route.
- Only routes from peers go into the kernel. They *persist* when BIRD ends, so that a restart loses
  no packet; the next BIRD takes them over (graceful restart).
- The direct protocol knows the host's own networks: without it a peer's address would be resolved
  through the default route.
- Sessions are multihop, one per family: hosts may be in different networks, and routes of a family
  travel over that family. The timers make a session come up in seconds after either end restarts.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from netaddr import IPAddress, IPNetwork

from calico_ctl.bgp.sessions import Session
from calico_ctl.model import address
from calico_ctl.model.address import Family
from calico_ctl.model.names import INTERFACE_PREFIX

_HEAD = """\
# Written by calicoctl's routing service from etcd; changes made here are overwritten.
log stderr {{ info, remote, warning, error, auth, fatal, bug, trace }};
debug protocols {{ states }};
router id {router_id};
# A dead peer delays the return of the others by this long after a restart.
graceful restart wait 15;

protocol device {{ scan time 10; }}

protocol direct {{
{channels}\
  interface "-{prefix}*", "-docker*", "*";
}}
"""

_FAMILY = """
filter from_kernel{f} {{
  if ! ({in_pools}) then reject;
  if ifname ~ "{prefix}*" then accept;
  reject;
}}

filter to_kernel{f} {{
  if source != RTS_BGP then reject;
  krt_prefsrc = {own};
  accept;
}}

filter from_peer{f} {{
  if {in_pools} then accept;
  reject;
}}

filter to_peer{f} {{
  if source = RTS_DEVICE then reject;
  if {in_pools} then accept;
  reject;
}}

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

template bgp peer{f} {{
  local {own} as {as_number};
  multihop;
  connect delay time 1;
  connect retry time 5;
  error wait time 1, 10;
  hold time 90;
  graceful restart;
  ipv{f} {{
    import filter from_peer{f};
    export filter to_peer{f};
    next hop self;
  }};
}}
"""

_SESSION = """
protocol bgp {name} from peer{family} {{
  neighbor {neighbour} as {as_number};
}}
"""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that BIRD on one host depends on. The router id is the IPv4 address."""

    ipv4: IPAddress
    ipv6: IPAddress | None
    as_number: int
    pools: tuple[IPNetwork, ...]
    sessions: tuple[Session, ...]


def render(config: Config) -> str:
    """Write the whole configuration."""
    own = [config.ipv4] if config.ipv6 is None else [config.ipv4, config.ipv6]
    families = [address.family(ip) for ip in own]
    head = _HEAD.format(
        router_id=config.ipv4,
        prefix=INTERFACE_PREFIX,
        channels="".join(f"  ipv{family};\n" for family in families),
    )
    return head + "".join(
        _family(config, ip, family) for ip, family in zip(own, families, strict=True)
    )


def _family(config: Config, own: IPAddress, family: Family) -> str:
    common = _FAMILY.format(
        f=family,
        own=own,
        prefix=INTERFACE_PREFIX,
        as_number=config.as_number,
        in_pools=_in_pools(cidr for cidr in config.pools if address.family(cidr) == family),
    )
    return common + "".join(
        _SESSION.format(
            name=session.name,
            family=family,
            neighbour=session.neighbour,
            as_number=session.as_number,
        )
        for session in config.sessions
        if session.family == family
    )


def _in_pools(cidrs: Iterable[IPNetwork]) -> str:
    """Write the condition that a route lies in a pool; BIRD has no empty set."""
    sets = ", ".join(f"{cidr}+" for cidr in cidrs)
    return f"net ~ [ {sets} ]" if sets else "false"
