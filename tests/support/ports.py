"""Ports for servers that are told where to listen, and may have to come back there."""

import random
import socket
from collections.abc import Iterator
from pathlib import Path

_LOWEST = 10_000
_HIGHEST = 60_999


def free(count: int = 1) -> list[int]:
    """Return ports of loopback on which nobody listens.

    They are none of those that the kernel gives to clients: whoever stops and starts again later
    would find one of those taken by a connection of anybody's.
    """
    found: list[int] = []
    held: list[socket.socket] = []
    candidates = _candidates()
    try:
        while len(found) < count:
            # Held until all are found, or one might be found twice.
            taken = socket.socket()
            held.append(taken)
            try:
                taken.bind(("127.0.0.1", next(candidates)))
            except OSError:
                continue
            found.append(taken.getsockname()[1])
    finally:
        for each in held:
            each.close()
    return found


def _candidates() -> Iterator[int]:
    """Ports in any order, so that those who ask at the same time get others; then the kernel's."""
    given = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    first, last = int(given[0]), int(given[1])
    others = [port for port in range(_LOWEST, _HIGHEST) if not first <= port <= last]
    random.shuffle(others)
    yield from others
    while True:
        yield 0
