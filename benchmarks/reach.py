"""How soon a new address is reached from another host: `python -m benchmarks.reach` (as root).

Three Docker hosts, each with an engine, an agent and a BIRD of its own. The clock starts with
`container add` on one of them, goes through `profile append`, without which nobody may talk to the
container, and stops with the answer to a container of another host, which asks every 0.1 s. Each
address is in a block that its host did not have, so that a route has to travel.
"""

import contextlib
import io
import time
from collections.abc import Iterator

from benchmarks import report
from benchmarks.report import Line
from tests.support import cluster as nodes
from tests.support import mesh
from tests.support.cluster import Cluster
from tests.support.lab import Lab

_ROUNDS = 15
_MILLISECONDS = 1000.0
_FAMILIES = {"IPv4": "192.168.{}.1", "IPv6": "fd80:24e2:f998:72d6::{}:1"}
_FIRST_BLOCK = 100


def lines() -> Iterator[Line]:
    """Bring up three nodes and give addresses, of one family and then of the other."""
    with contextlib.ExitStack() as stack:
        with contextlib.redirect_stdout(io.StringIO()):
            lab = stack.enter_context(Lab(3, node_image=True))
            cluster = nodes.start(lab)
            mesh.populate(cluster)
            mesh.all_reach_each_other(cluster)
        for family, address in _FAMILIES.items():
            with contextlib.redirect_stdout(io.StringIO()):
                taken = [
                    _reached_after(cluster, address.format(_FIRST_BLOCK + number))
                    for number in range(_ROUNDS)
                ]
            middle, longest = report.percentile(taken, 50), max(taken)
            yield Line(
                f"from `container add` until reached from another host, {family}",
                f"p50 {middle:.0f} ms, at most {longest:.0f} ms (n={_ROUNDS})",
                f"p50 ≤ {_MILLISECONDS:g} ms",
                middle <= _MILLISECONDS,
            )


def _reached_after(cluster: Cluster, address: str) -> float:
    """Return how many milliseconds it took; the container comes and goes."""
    here, _, there = cluster.hosts
    cluster.run(here, "new")
    began = time.perf_counter()
    mesh.add(cluster, here, "new", address)
    mesh.reaches(there, address)
    taken = (time.perf_counter() - began) * 1000
    cluster.calicoctl(here, "container remove new")
    here.docker("rm", "-f", "new")
    return taken


def main() -> int:
    """Measure; return 1 if a target was missed."""
    return report.main("Reach: how soon a route has travelled", lines(), __doc__)


if __name__ == "__main__":
    raise SystemExit(main())
