"""How long a hundred hosts take to know all routes: `python -m benchmarks.mesh` (as root).

Each host is a network namespace with a BIRD of its own that gets the configuration which the
routing service makes; all are on one bridge, in a full mesh, and each announces 20 blocks. They
share this machine, so it measures what a hundred hosts cost together, not what one of them waits.
"""

import contextlib
import io
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from netaddr import IPNetwork

from benchmarks import report
from benchmarks.report import Line
from calico_ctl.model import keys
from tests.support import routers
from tests.support.routers import Router

HOSTS = 100
BLOCKS = 20
LIMIT_SECONDS = 30.0

_POOL = IPNetwork("10.64.0.0/14")
_PATIENCE_SECONDS = 300.0


def lines() -> Iterator[Line]:
    """Bring the hosts up, start all BIRDs at once, wait."""
    values = _values()
    with (
        tempfile.TemporaryDirectory() as directory,
        routers.site(Path(directory)) as site,
        # A BIRD ends with the thread that started it, so the threads stay to the end.
        ThreadPoolExecutor(8) as starters,
    ):
        with contextlib.redirect_stdout(io.StringIO()):  # tests print what they do
            hosts = [site.router(number) for number in range(1, HOSTS + 1)]
            _know_each_other(hosts)
        for host in hosts:
            host.configure(values)
        began = time.monotonic()
        try:
            list(starters.map(Router.start, hosts))
            yield _waited("all sessions of the mesh are up", began, hosts, _has_all_sessions)
            blocks = f"{HOSTS * BLOCKS:,} blocks are in every kernel"
            yield _waited(blocks, began, hosts, _has_all_routes)
        finally:
            for host in hosts:
                host.stop()


def _values() -> dict[str, str]:
    """What etcd says of such a cluster."""
    values = {keys.READY: "true", keys.pool(_POOL): f'{{"cidr": "{_POOL}"}}'}
    blocks = iter(_POOL.subnet(26))
    for number in range(1, HOSTS + 1):
        values[keys.bgp_host_address(f"h{number}", 4)] = routers.ipv4(number)
        values |= {keys.affinity(f"h{number}", next(blocks)): "" for _ in range(BLOCKS)}
    return values


def _know_each_other(hosts: list[Router]) -> None:
    """Write all neighbours down: what the kernel finds out itself is one table for all hosts."""
    for host in hosts:
        host.namespace.run(["ip", "link", "set", "eth0", "address", _mac(host.number)], quiet=True)
        others = (each.number for each in hosts if each is not host)
        script = "".join(
            f"neigh replace {routers.ipv4(number)} lladdr {_mac(number)} dev eth0 nud permanent\n"
            for number in others
        )
        host.namespace.run(["ip", "-batch", "-"], stdin=script, quiet=True)


def _mac(number: int) -> str:
    return f"02:00:00:00:07:{number:02x}"


def _has_all_sessions(host: Router) -> bool:
    return len(host.established()) == HOSTS - 1


def _has_all_routes(host: Router) -> bool:
    shown = host.namespace.run(["ip", "route", "show", "proto", "bird"], quiet=True).out
    return len(shown.splitlines()) == HOSTS * BLOCKS  # its own too, as aggregates


def _waited(what: str, began: float, hosts: list[Router], done: Callable[[Router], bool]) -> Line:
    """Wait until it is so for every host; those that are through are not asked again."""
    waiting = list(hosts)
    while waiting and time.monotonic() - began < _PATIENCE_SECONDS:
        waiting = [host for host in waiting if not done(host)]
    taken = float("inf") if waiting else time.monotonic() - began
    return report.at_most(f"{HOSTS} hosts: {what}", taken, LIMIT_SECONDS, "s")


def main() -> int:
    """Measure; return 1 if a target was missed."""
    if os.geteuid() != 0:
        print("needs root, for network namespaces", file=sys.stderr)
        return 1
    return report.show("A full mesh of simulated hosts", lines())


if __name__ == "__main__":
    raise SystemExit(main())
