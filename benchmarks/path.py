"""Two containers on one host and traffic from one to the other, from a single process.

The process holds sockets in both containers' namespaces and stays on one processor. So a packet's
whole way, from one socket over the host's rules to the other socket, is inside one system call, and
nothing depends on where a scheduler puts two ends.
"""

import contextlib
import ctypes
import json
import os
import socket
import struct
import time
from typing import NoReturn

from benchmarks.cluster import Endpoint
from benchmarks.lab import Host
from tests.support.netns import NetNs

_GATEWAY = "169.254.1.1"
_AT_ONCE = 64
_CHUNK = 128 << 10
_BUFFER = 1 << 20
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33


class Container:
    """An endpoint with a namespace of its own, on a host."""

    def __init__(self, host: Host, endpoint: Endpoint) -> None:
        """Make its interface and give it its address; the host is its gateway."""
        self.namespace = NetNs()
        self.ip = endpoint.ipv4
        self.mac = endpoint.mac
        self.interface = endpoint.name
        host.plug([self.interface], self.namespace)
        (link,) = json.loads(host.run("ip", "-j", "link", "show", self.interface))
        script = f"""
            link set lo up
            link set {self.interface} address {self.mac}
            address add {self.ip}/32 dev {self.interface}
            neigh add {_GATEWAY} lladdr {link["address"]} dev {self.interface} nud permanent
            route add {_GATEWAY} dev {self.interface} scope link
            route add default via {_GATEWAY} src {self.ip}
        """
        self.namespace.run(["ip", "-batch", "-"], stdin=script, quiet=True)

    def socket(self, kind: socket.SocketKind, protocol: int = 0) -> socket.socket:
        """Open a socket inside it."""
        with self.namespace.entered():
            return socket.socket(socket.AF_INET, kind, protocol)

    def received(self) -> int:
        """Say how many packets have come in on its interface."""
        shown = self.namespace.run(["ip", "-s", "-j", "link", "show", self.interface], quiet=True)
        (link,) = json.loads(shown.out)
        packets: int = link["stats64"]["rx"]["packets"]
        return packets

    def close(self) -> None:
        """Take it away, with its interface."""
        self.namespace.close()


def stay_on_one_processor() -> None:
    """Do everything from here on, with what is started, on the last processor of the machine."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


class Datagrams:
    """A flow of 18-byte datagrams from one container to a port of another."""

    def __init__(self, sender: Container, receiver: Container, port: int) -> None:
        """Open a flow with a fresh source port; the receiver takes in next to nothing."""
        self._to = receiver.socket(socket.SOCK_DGRAM)
        # What the receiver would queue and free costs the same with any rules: let it be dropped.
        self._to.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        self._to.bind((str(receiver.ip), port))
        self._to.settimeout(1)
        self._from = sender.socket(socket.SOCK_DGRAM)
        self._from.connect((str(receiver.ip), port))
        self._from.settimeout(1)
        self._batch = _Batch(self._from.fileno())

    def establish(self) -> None:
        """Let one datagram go there and one back: the flow is established then."""
        self._from.send(bytes(18))
        _, address = self._to.recvfrom(64)
        self._to.sendto(bytes(18), address)
        self._from.recv(64)

    def nanoseconds(self, batches: int) -> float:
        """Send so many batches; return what one datagram took."""
        began = time.perf_counter_ns()
        for _ in range(batches):
            self._batch.send()
        return (time.perf_counter_ns() - began) / (batches * _AT_ONCE)

    def close(self) -> None:
        """End the flow."""
        self._to.close()
        self._from.close()


def gigabits(sender: Container, receiver: Container, port: int, seconds: float) -> float:
    """Send through one TCP connection from another process for some time; return Gbit/s."""
    source, sink = _connected(sender, receiver, port)
    child = os.fork()
    if child == 0:
        _send_until_refused(source, sink)
    source.close()
    room = bytearray(_CHUNK)
    received = 0
    began = now = time.perf_counter()
    while now - began < seconds:
        received += sink.recv_into(room)
        now = time.perf_counter()
    # The connection is reset, which is what ends the sender.
    sink.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sink.close()
    os.waitpid(child, 0)
    return received * 8 / (now - began) / 1e9


def gigabits_in_turn(sender: Container, receiver: Container, port: int, seconds: float) -> float:
    """Fill one end and empty the other in turn: nothing but the path; return Gbit/s."""
    source, sink = _connected(sender, receiver, port)
    source.setblocking(False)
    sink.setblocking(False)
    chunk, room = bytes(_CHUNK), bytearray(_CHUNK)
    received = 0
    began = now = time.perf_counter()
    while now - began < seconds:
        with contextlib.suppress(BlockingIOError):
            source.send(chunk)
        with contextlib.suppress(BlockingIOError):
            received += sink.recv_into(room)
        now = time.perf_counter()
    source.close()
    sink.close()
    return received * 8 / (now - began) / 1e9


def _connected(
    sender: Container, receiver: Container, port: int
) -> tuple[socket.socket, socket.socket]:
    """Connect with buffers of a fixed size: those that grow by themselves grow differently."""
    listener = receiver.socket(socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
    listener.bind((str(receiver.ip), port))
    listener.listen()
    source = sender.socket(socket.SOCK_STREAM)
    source.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _BUFFER)
    source.settimeout(5)
    source.connect((str(receiver.ip), port))
    sink, _ = listener.accept()
    listener.close()
    source.settimeout(None)
    return source, sink


def _send_until_refused(source: socket.socket, sink: socket.socket) -> NoReturn:
    """Be the sending process."""
    sink.close()
    chunk = bytes(_CHUNK)
    try:
        while True:
            source.sendall(chunk)
    except OSError:
        os._exit(0)


class _IoVector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_char_p), ("length", ctypes.c_size_t)]


class _Message(ctypes.Structure):
    """A struct msghdr."""

    _fields_ = [
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint),
        ("vectors", ctypes.POINTER(_IoVector)),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    ]


class _Sent(ctypes.Structure):
    """A struct mmsghdr."""

    _fields_ = [("message", _Message), ("length", ctypes.c_uint)]


class _Batch:
    """Many times the same datagram in one system call: sendmmsg(2), which Python has not."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._vector = _IoVector(bytes(18), 18)
        self._messages = (_Sent * _AT_ONCE)()
        for each in self._messages:
            each.message.vectors = ctypes.pointer(self._vector)
            each.message.vector_count = 1
        self._library = ctypes.CDLL(None, use_errno=True)

    def send(self) -> None:
        """Send all of it."""
        sent = self._library.sendmmsg(self._descriptor, self._messages, _AT_ONCE, 0)
        if sent != _AT_ONCE:
            number = ctypes.get_errno()
            raise OSError(number, f"sent {sent} of {_AT_ONCE}: {os.strerror(number)}")
