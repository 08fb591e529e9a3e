"""Machines of somebody else on the network of a lab's hosts."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.support import netns
from tests.support.lab import Lab
from tests.support.netns import NetNs

Pair = tuple[str, str]
"""An IPv4 and an IPv6 address."""

_REFLECTING = """\
log stderr all;
router id {ip};
protocol device {{ scan time 10; }}
protocol direct {{ ipv4; ipv6; interface "eth0"; }}
template bgp any {{
  connect delay time 1; connect retry time 1; error wait time 1, 2;
  rr cluster id {cluster_id};
}}
"""
_REFLECTED = """\
protocol bgp {name}v{version} from any {{
  local {own} as 64511; neighbor {other} as 64511; {more}
  ipv{version} {{ import all; export where source = RTS_BGP; next hop keep; }};
}}
"""


@contextlib.contextmanager
def plugged(lab: Lab, ip: str, ip6: str, *servers: str) -> Iterator[tuple[NetNs, Path]]:
    """A machine with these addresses, and others for the servers on it; a directory for it."""
    name = f"port{ip.rpartition('.')[2]}"
    with netns.private_netns() as namespace:
        port = ["link", "add", name, "type", "veth", "peer", "name", "eth0"]
        lab.underlay.run(["ip", *port, "netns", str(namespace.pid)])
        lab.underlay.run(["ip", "link", "set", name, "master", "underlay", "up"])
        namespace.run(
            ["ip", "-batch", "-"],
            stdin=f"link set eth0 up\naddr add {ip}/24 dev eth0\n"
            f"addr add {ip6}/64 dev eth0 nodad\n"
            + "".join(f"addr add {each} dev lo\n" for each in servers),
        )
        directory = lab.directory / name
        directory.mkdir()
        yield namespace, directory


def reflecting(
    own: Pair, cluster_id: str, fellows: Iterable[Pair], client: Pair, password: str
) -> str:
    """The configuration of a BIRD that reflects for one client; only with that is it signed."""
    text = _REFLECTING.format(ip=own[0], cluster_id=cluster_id)
    more = dict.fromkeys(fellows, "") | {client: f'rr client; password "{password}";'}
    for number, pair in enumerate(more):
        for version, here, there in zip((4, 6), own, pair, strict=True):
            text += _REFLECTED.format(
                name=f"n{number}", version=version, own=here, other=there, more=more[pair]
            )
    return text
