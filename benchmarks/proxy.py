"""What the Docker API proxy costs: `python -m benchmarks.proxy` (as root).

A real engine of the benchmark's own, and the proxy in front of it as a process that has loaded all
that the service has. Directly and through the proxy in turns, so that both meet the same machine:
calls that are not ours, each beside its twin; streams, as the ratio of their median times. Last,
the memory of the proxy with a thousand clients that are attached and say nothing.
"""

import contextlib
import gc
import io
import json
import os
import re
import resource
import statistics
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import report
from benchmarks.report import Line
from tests.support import docker_proxy, engine
from tests.support.command import wait_until
from tests.support.differential import Both
from tests.support.engine import IMAGE
from tests.support.wire import Address, Wire

_CALLS = 2_000
_FRESH_CALLS = 1_000
_ROUNDS = 5
_MEGABYTES = 200
_ATTACHED = 1_000
_FILES = 8_192
_PIECE = 262_144
_BIG = "calico/test-big:latest"
_LOGGED_SIZE = 50_000_000
_LOGGED = f"head -c {_LOGGED_SIZE} /dev/zero | tr '\\0' x | fold -w 1000"
_TAR = {"Content_Type": "application/x-tar", "Transfer_Encoding": "chunked"}

Seconds = Callable[[Address], float]


def lines() -> Iterator[Line]:
    """Start the engine and the proxy, and measure."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, _FILES), most))
    with engine.own_engine() as own, docker_proxy.running(own.socket) as proxy:
        both = Both(own, proxy)
        for target in ("/_ping", "/images/json", "/networks"):
            yield _on_kept_connections(both, target)
        yield _on_fresh_connections(both, "/_ping")
        yield from _streams(both)
        yield from _memory(both)


def _on_kept_connections(both: Both, target: str) -> Line:
    with Wire(both.addresses[0]) as direct, Wire(both.addresses[1]) as through:
        pairs = [
            (_milliseconds(direct, target), _milliseconds(through, target)) for _ in range(_CALLS)
        ]
    return _overhead(f"GET {target} on a kept connection: overhead", pairs)


def _on_fresh_connections(both: Both, target: str) -> Line:
    def once(address: Address) -> float:
        began = time.perf_counter()
        with Wire(address) as connection:
            connection.ask(f"GET {target}")
        return (time.perf_counter() - began) * 1000

    direct, through = both.addresses
    pairs = [(once(direct), once(through)) for _ in range(_FRESH_CALLS)]
    return _overhead(f"GET {target} on a fresh connection: overhead", pairs)


def _milliseconds(connection: Wire, target: str) -> float:
    began = time.perf_counter()
    connection.ask(f"GET {target}")
    return (time.perf_counter() - began) * 1000


def _overhead(what: str, pairs: list[tuple[float, float]]) -> Line:
    """Compare neighbours: what one of them suffers from the machine, the other mostly does too."""
    more = [through - direct for direct, through in pairs[len(pairs) // 10 :]]
    middle, high = report.percentile(more, 50), report.percentile(more, 99)
    direct = statistics.median(pair[0] for pair in pairs)
    measured = f"p50 {middle:.2f} ms, p99 {high:.2f} ms (direct {direct:.2f})"
    return Line(what, measured, "p50 ≤ 1 ms, p99 ≤ 5 ms", middle <= 1 and high <= 5)


def _streams(both: Both) -> Iterator[Line]:
    content = os.urandom(1_000_000) * _MEGABYTES
    _import(both, content)
    saved = both.ask(f"GET /images/{_BIG}/get").body
    yield _ratio(both, "docker save", len(saved), lambda at: _get(at, f"/images/{_BIG}/get"))
    yield _ratio(both, "docker load", len(saved), lambda at: _load(both, at, saved))
    yield _ratio(both, "docker save | docker load", len(saved), _save_and_load)
    context = _archive(Dockerfile=f"FROM {IMAGE}".encode(), content=content)
    build = "POST /build?q=1"
    yield _ratio(both, "a build context", len(context), lambda at: _send(at, build, context))
    with both.running("sh", "-c", _LOGGED, Image=_BIG) as name:
        wait_until(lambda: not _is_running(both, name), 120, "the container has logged everything")
        target = f"/containers/{name}/logs?stdout=1"
        yield _ratio(both, "docker logs", _LOGGED_SIZE, lambda at: _get(at, target))
        file = f"/containers/{name}/archive?path=/content"
        yield _ratio(both, "docker cp, from a container", len(content), lambda at: _get(at, file))


def _ratio(both: Both, what: str, size: int, seconds: Seconds) -> Line:
    """Return how fast a stream is through the proxy, as a part of its speed without."""
    taken: dict[Address, list[float]] = {address: [] for address in both.addresses}
    for _ in range(_ROUNDS):
        for address, samples in taken.items():
            samples.append(seconds(address))
    direct, through = (size / statistics.median(taken[each]) / 1e6 for each in both.addresses)
    ratio = through / direct
    measured = f"{ratio:.2f} times ({direct:.0f} → {through:.0f} MB/s)"
    return Line(f"{what}, {size / 1e6:.0f} MB", measured, "≥ 0.8 times", ratio >= 0.8)


def _get(address: Address, target: str) -> float:
    began = time.perf_counter()
    with Wire(address) as connection:
        for _ in _pieces(connection, target):
            pass
    return time.perf_counter() - began


def _pieces(connection: Wire, target: str) -> Iterator[bytes]:
    """Yield an answer's bytes as they come, framing and all; the engine closes at its end."""
    connection.request(f"GET {target}", Connection="close")
    assert connection.head().status == 200
    while piece := connection.socket.recv(_PIECE):
        yield piece


def _send(address: Address, request: str, body: bytes) -> float:
    began = time.perf_counter()
    with Wire(address) as connection:
        connection.request(request, b"", **_TAR)
        view = memoryview(body)
        for at in range(0, len(body), _PIECE):
            _send_chunk(connection, view[at : at + _PIECE])
        _end(connection)
    return time.perf_counter() - began


def _send_chunk(connection: Wire, piece: memoryview) -> None:
    connection.socket.sendall(b"%x\r\n" % len(piece))
    connection.socket.sendall(piece)
    connection.socket.sendall(b"\r\n")


def _end(connection: Wire) -> None:
    connection.send(b"0\r\n\r\n")
    answer = connection.answer()
    assert answer.status == 200, answer
    assert b'"error"' not in answer.body, answer


def _load(both: Both, address: Address, saved: bytes) -> float:
    """Load an image that is not there: one that is, an engine hardly looks at."""
    assert both.ask(f"DELETE /images/{_BIG}").status == 200
    return _send(address, "POST /images/load?quiet=1", saved)


def _save_and_load(address: Address) -> float:
    """Read with one connection and write with another, as the two commands do."""
    began = time.perf_counter()
    with Wire(address) as source, Wire(address) as sink:
        sink.request("POST /images/load?quiet=1", b"", **_TAR)
        # The framing of the one is passed on as the framing of the other: both are chunks.
        source.request(f"GET /images/{_BIG}/get", Connection="close")
        assert source.head().header("Transfer-Encoding") == "chunked"
        sink.send(source.buffered())
        while piece := source.socket.recv(_PIECE):
            sink.send(piece)
        answer = sink.answer()
        assert answer.status == 200, answer
    return time.perf_counter() - began


def _import(both: Both, content: bytes) -> None:
    """Make an image with one big file, and what a shell needs."""
    context = _archive(Dockerfile=f"FROM {IMAGE}\nCOPY content /".encode(), content=content)
    _send(both.addresses[0], f"POST /build?q=1&t={_BIG}", context)


def _is_running(both: Both, name: str) -> bool:
    """Whether the container still runs."""
    state = json.loads(both.ask(f"GET /containers/{name}/json").body)["State"]
    return bool(state["Running"])


def _archive(**files: bytes) -> bytes:
    with io.BytesIO() as stream:
        with tarfile.open(fileobj=stream, mode="w") as made:
            for name, content in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                made.addfile(entry, io.BytesIO(content))
        return stream.getvalue()


def _memory(both: Both) -> Iterator[Line]:
    """Attach a thousand clients to one container that waits for input."""
    gc.collect()
    with contextlib.ExitStack() as stack:
        name = stack.enter_context(both.running("cat", OpenStdin=True, Tty=True))
        target = f"POST /containers/{name}/attach?stream=1&stdin=1&stdout=1&stderr=1"
        before = _megabytes(both.proxy.pid)
        for _ in range(_ATTACHED):
            connection = stack.enter_context(Wire(both.proxy.address))
            answer = connection.ask(target, b"", Connection="Upgrade", Upgrade="tcp")
            assert answer.status == 101, answer
        after = _megabytes(both.proxy.pid)
        what = f"memory with {_ATTACHED:,} attached streams that are idle"
        each = (after - before) * 1024 / _ATTACHED
        yield Line(what, f"{after:.1f} MB ({each:.1f} KB for each)", "≤ 80 MB", after <= 80)
    wait_until(lambda: _open_files(both.proxy.pid) < 50, 20, "the proxy has closed everything")
    yield Line("… and when they have gone", f"{_megabytes(both.proxy.pid):.1f} MB")


def _megabytes(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) / 1024


def _open_files(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def main() -> int:
    """Measure; return 1 if a target was missed."""
    title = "The Docker API proxy: what it costs"
    return report.main(title, lines(), __doc__, root_for="a Docker Engine of its own")


if __name__ == "__main__":
    raise SystemExit(main())
