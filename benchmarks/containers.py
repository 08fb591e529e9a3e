"""What an address costs whoever starts a container: `python -m benchmarks.containers` (as root).

On one real node, in turns: a container on Docker's bridge, and one of ours with an address through
the proxy. Each ends as soon as it has a default route, which ours gets after its start, and the
client waits until it is removed.
"""

import contextlib
import io
import statistics
import time
from collections.abc import Iterator

from benchmarks import report
from benchmarks.report import Line
from tests.support import cluster
from tests.support.host import Host
from tests.support.lab import Lab

_ROUNDS = 25
_WAITS = "busybox sh -c 'until ip route | grep -q default; do usleep 1000; done'"
_BRIDGE = f"docker run --rm {_WAITS}"
_OURS = f"docker -H localhost:2377 run --rm -e CALICO_IP=auto {_WAITS}"
_NONE = "docker run --rm --net=none busybox true"


def lines() -> Iterator[Line]:
    """Bring up a node, run the containers, compare."""
    with _node() as host:
        taken: dict[str, list[float]] = {_BRIDGE: [], _OURS: [], _NONE: []}
        for line in taken:
            _milliseconds(host, line)
        for _ in range(_ROUNDS):
            for line, samples in taken.items():
                samples.append(_milliseconds(host, line))
    bridge, ours, none = (statistics.median(samples) for samples in taken.values())
    yield Line(
        "docker run --rm with an address against one on Docker's bridge",
        f"{ours / bridge:.2f} times ({bridge:.0f} → {ours:.0f} ms)",
        "≤ 1.15 times",
        ours <= 1.15 * bridge,
    )
    yield Line("… against one without any network", f"{ours / none:.2f} times ({none:.0f} ms)")


@contextlib.contextmanager
def _node() -> Iterator[Host]:
    """Bring up a host that is a node, and take it down."""
    with contextlib.ExitStack() as stack:
        with contextlib.redirect_stdout(io.StringIO()):
            lab = stack.enter_context(Lab(1, node_image=True))
            (host,) = cluster.start(lab).hosts
        yield host


def _milliseconds(host: Host, line: str) -> float:
    began = time.perf_counter()
    host.run(line, quiet=True)
    return (time.perf_counter() - began) * 1000


def main() -> int:
    """Measure; return 1 if a target was missed."""
    return report.main("Containers: what an address costs", lines(), __doc__)


if __name__ == "__main__":
    raise SystemExit(main())
