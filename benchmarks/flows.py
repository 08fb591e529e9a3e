"""Traffic from one container to another that counts every packet: none may be lost, none let in.

One process holds the sockets of both containers. So a packet is either there when it has been
sent, or it is missing; one that comes late is taken off the missing ones, the others are lost.

Three kinds in turn: datagrams of ever new flows to an open port (rules are asked for each, since
nobody answers), the same to a closed port, and round trips of one established flow.
"""

import multiprocessing
import socket
import struct
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess

from benchmarks.path import Container

OPEN, CLOSED = 7_000, 7_999
_MISSING_AFTER = 0.01
_LOST_AFTER = 0.5
_READY_WITHIN = 40.0
_SOURCE_PORTS = range(20_000, 36_000)
"""Each stays in the table of connections for half a minute, and that has an end."""
_LOOK_UP_EVERY = 32


@dataclass
class Counts:
    """What was sent, and what of it went wrong."""

    new: int = 0
    new_lost: int = 0
    established: int = 0
    established_lost: int = 0
    denied: int = 0
    leaked: int = 0

    @property
    def clean(self) -> bool:
        """Say whether nothing went wrong, and something was sent."""
        return self.new > 0 and self.new_lost + self.established_lost + self.leaked == 0


class Traffic:
    """The traffic, in a process of its own, until `stop`."""

    def __init__(self, sender: Container, receiver: Container) -> None:
        """Start it; return when the first packet has arrived."""
        context = multiprocessing.get_context("fork")
        self._ours, theirs = context.Pipe()
        self._process: ForkProcess = context.Process(
            target=_run, args=(theirs, sender, receiver), daemon=True
        )
        self._process.start()
        theirs.close()
        if not self._ours.poll(_READY_WITHIN) or self._ours.recv() != "ready":
            raise RuntimeError("the open port is not open")

    def stop(self) -> Counts:
        """End it; return what it counted."""
        self._ours.send("stop")
        counts: Counts = self._ours.recv()
        self._process.join()
        return counts


def _run(pipe: "Connection[object, object]", sender: Container, receiver: Container) -> None:
    """Be the process. It also ends when the other end of its pipe is gone."""
    ends = _Ends(sender, receiver)
    end = time.monotonic() + _READY_WITHIN
    while not (ends.new_flow_arrives() and ends.round_trip_works()):
        if time.monotonic() > end:
            return
    ends.forget()
    pipe.send("ready")
    counts = Counts()
    while not pipe.poll():
        for _ in range(_LOOK_UP_EVERY):
            ends.new_flow_arrives()
            ends.knock()
        ends.round_trip_works()
        counts.new += _LOOK_UP_EVERY
        counts.denied += _LOOK_UP_EVERY
        counts.established += 1
        counts.leaked += ends.leaked()
    counts.new_lost, counts.established_lost = ends.lost()
    counts.leaked += ends.leaked()
    pipe.send(counts)


class _Ends:
    """The sockets of both ends."""

    def __init__(self, sender: Container, receiver: Container) -> None:
        self._to = str(receiver.ip)
        self._open = _bound(receiver, OPEN)
        self._closed = _bound(receiver, CLOSED)
        self._closed.setblocking(False)
        self._client = _bound(sender, 0)
        # With a socket of this kind each datagram has the source port that we write into it.
        self._raw = sender.socket(socket.SOCK_RAW, socket.IPPROTO_UDP)
        self._number = 0
        self._missing_new: set[bytes] = set()
        self._missing_old: set[bytes] = set()

    def new_flow_arrives(self) -> bool:
        """Send one datagram from another port than last time; say whether it comes through."""
        return self._arrives(self._open, self._send(OPEN), self._missing_new)

    def knock(self) -> None:
        """Send one datagram to the closed port."""
        self._send(CLOSED)

    def round_trip_works(self) -> bool:
        """Send one datagram of an old flow there and one back; say whether both come through."""
        payload = self._next_payload()
        self._client.sendto(payload, (self._to, OPEN))
        if not self._arrives(self._open, payload, self._missing_old):
            return False
        self._open.sendto(payload, self._client.getsockname())
        return self._arrives(self._client, payload, self._missing_old)

    def forget(self) -> None:
        """Count no packet as missing that was sent up to now."""
        self._missing_new.clear()
        self._missing_old.clear()

    def lost(self) -> tuple[int, int]:
        """Wait for what may still come; return how many are lost: of new flows, of the old one."""
        for end in (self._open, self._client):
            end.settimeout(_LOST_AFTER)
            self._arrives(end, b"", set())
        return len(self._missing_new), len(self._missing_old)

    def leaked(self) -> int:
        """Count what came through to the closed port."""
        count = 0
        try:
            while self._closed.recv(64):
                count += 1
        except BlockingIOError:
            return count
        return count

    def _send(self, port: int) -> bytes:
        payload = self._next_payload()
        source = _SOURCE_PORTS[self._number % len(_SOURCE_PORTS)]
        # No checksum (0) is allowed over IPv4.
        datagram = struct.pack("!HHHH", source, port, 8 + len(payload), 0) + payload
        self._raw.sendto(datagram, (self._to, 0))
        return payload

    def _next_payload(self) -> bytes:
        self._number += 1
        return struct.pack("!Q", self._number)

    def _arrives(self, end: socket.socket, payload: bytes, missing: set[bytes]) -> bool:
        """Say whether a payload comes at once; if not it is missing, until it does."""
        try:
            while (received := end.recv(64)) != payload:
                self._missing_new.discard(received)
                self._missing_old.discard(received)
        except TimeoutError:
            missing.add(payload)
            return False
        return True


def _bound(container: Container, port: int) -> socket.socket:
    bound = container.socket(socket.SOCK_DGRAM)
    bound.bind((str(container.ip), port))
    bound.settimeout(_MISSING_AFTER)
    return bound
