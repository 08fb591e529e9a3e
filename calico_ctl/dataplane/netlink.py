"""The kernel's own protocol: messages of attributes, asked and answered as bytes (netlink(7)).

Why not a program or a library: the agent asks and changes the kernel all the time. `ip` costs 4 ms
a call; the library pyroute2 costs 24 MB of memory, 135 ms to import and 50 µs for each route that
it reads, ten times what this does (decision 8). Only what is asked often goes this way.

An attribute is its length, its kind and its bytes; attributes nest. Numbers are in the byte order
of the machine, except nfnetlink's, which are big-endian.
"""

import errno
import os
import socket
import struct
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import NamedTuple, Self

from calico_ctl.errors import CalicoError

ROUTE = 0
NETFILTER = 12

REQUEST = 0x01
ACK = 0x04
DUMP = 0x300
CREATE = 0x400
REPLACE = 0x100
EXCLUSIVE = 0x200

NESTED = 0x8000

_ERROR = 2
_DONE = 3
_DUMP_INTERRUPTED = 0x10
_KIND_MASK = 0x3FFF
LOAD_WORD, LOAD_HALF, LOAD_BYTE, IF_EQUAL, RETURN = 0x20, 0x28, 0x30, 0x15, 0x06
KEEP = 0xFFFFFFFF
Instruction = tuple[int, int, int, int]
_INSTRUCTION = struct.Struct("=HBBI")

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_NUMBER = struct.Struct("=I")
_SOL_NETLINK = 270
_ADD_MEMBERSHIP = 1
_DROP_MEMBERSHIP = 2
_CAP_ACK = 10
_GET_STRICT_CHECK = 12
_SO_ATTACH_FILTER = 26
_SO_SNDBUFFORCE = 32
_SO_RCVBUFFORCE = 33
_RECEIVE = 1 << 18
_PATIENCE = 5.0
_DUMP_ATTEMPTS = 5


class KernelRefused(CalicoError):
    """The kernel answered a netlink request with an error; `number` is its errno."""

    def __init__(self, what: str, number: int) -> None:
        """Say what was asked and what the kernel says."""
        super().__init__(f"the kernel refused to {what}: {os.strerror(number).lower()}")
        self.number = number


class Message(NamedTuple):
    """What the kernel sent. `port` is the socket on whose behalf (0: the kernel's own).

    A tuple, because a dump is thousands of them and a dataclass takes twice as long to make.
    """

    kind: int
    flags: int
    sequence: int
    port: int
    body: bytes


class Netlink:
    """One socket of one netlink protocol. Use from one thread."""

    def __init__(self, protocol: int, groups: Iterable[int] = (), buffer: int = 0) -> None:
        """Open it and join multicast groups; `buffer` is how many bytes of news it may hold.

        It speaks of the network namespace that the thread is in now, wherever that goes later.
        Raises KernelRefused if the kernel was built without the protocol.
        """
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        try:
            self._socket = socket.socket(socket.AF_NETLINK, kind, protocol)
        except OSError as error:
            what = f"open a netlink socket of protocol {protocol}"
            raise KernelRefused(what, error.errno or 0) from error
        if buffer:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, buffer)
        # Errors come without a copy of the request, which may be megabytes.
        self._socket.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
        if protocol == ROUTE:
            # The kernel lists only what was asked for, and refuses what it does not know (4.20).
            self._socket.setsockopt(_SOL_NETLINK, _GET_STRICT_CHECK, 1)
        self._socket.bind((0, 0))
        for group in groups:
            self.join(group)
        self._socket.settimeout(_PATIENCE)
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def port(self) -> int:
        """The number by which the kernel knows this socket."""
        port: int = self._socket.getsockname()[0]
        return port

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def fileno(self) -> int:
        """Return its file descriptor."""
        return self._socket.fileno()

    def join(self, group: int) -> None:
        """Be told from now on what a multicast group is told. Any thread may call this."""
        self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)

    def leave(self, group: int) -> None:
        """Be told no more. Any thread may call this."""
        self._socket.setsockopt(_SOL_NETLINK, _DROP_MEMBERSHIP, group)

    def keep_out(self, program: Sequence[Instruction]) -> None:
        """Have the kernel ask a program about each message, which is dropped if it returns 0.

        Instructions of linux/filter.h: code, skip if true, skip if false, operand. They read in
        network order what netlink writes in the order of the machine.
        """
        code = array("B", b"".join(_INSTRUCTION.pack(*each) for each in program))
        # struct sock_fprog: how many instructions, and where they are; the kernel copies them
        place = struct.pack("HP", len(program), code.buffer_info()[0])
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, place)

    def ask(self, what: str, kind: int, flags: int, body: bytes) -> None:
        """Have the kernel do one thing (`what` in words); raise KernelRefused if it will not."""
        sequence = self._next()
        self._socket.send(message(kind, REQUEST | ACK | flags, sequence, body))
        for answer in self._answers(what, sequence):
            if answer.kind == _ERROR and (number := error_number(answer)):
                raise KernelRefused(what, number)
            if answer.kind == _ERROR:
                return

    def get(self, what: str, kind: int, body: bytes) -> bytes:
        """Return the body of the one message that answers a question."""
        sequence = self._next()
        self._socket.send(message(kind, REQUEST, sequence, body))
        answer = next(self._answers(what, sequence))
        if answer.kind == _ERROR:
            raise KernelRefused(what, error_number(answer))
        return answer.body

    def dump(self, what: str, kind: int, body: bytes) -> list[bytes]:
        """Return the bodies of all messages that answer a question.

        Asks again if the kernel says that what it listed changed meanwhile.
        """
        for _ in range(_DUMP_ATTEMPTS):
            try:
                return [each for part in self.parts(what, kind, body) for each in part]
            except KernelRefused as error:
                if error.number != errno.EINTR:
                    raise
        raise KernelRefused(what, errno.EINTR)

    def parts(self, what: str, kind: int, body: bytes) -> Iterator[list[bytes]]:
        """Yield what `dump` returns bit by bit, for answers that are too long to hold.

        Take all of it before the socket is used for anything else. Raises KernelRefused with EINTR
        at the end if what was listed changed meanwhile.
        """
        sequence = self._next()
        self._socket.send(message(kind, REQUEST | DUMP, sequence, body))
        interrupted = False
        while True:
            answers = [each for each in self._receive(what) if each.sequence == sequence]
            interrupted |= any(each.flags & _DUMP_INTERRUPTED for each in answers)
            end = answers.pop() if answers and answers[-1].kind in {_DONE, _ERROR} else None
            yield [each.body for each in answers]
            if end is None:
                continue
            # The kernel finds some errors only while it lists, and says so where the list ends.
            if number := error_number(end) or interrupted * errno.EINTR:
                raise KernelRefused(what, number)
            return

    def send_all(
        self, what: Callable[[int], str], messages: Iterable[tuple[int, int, bytes]]
    ) -> None:
        """Send messages (kind, flags, body) at once; return when the one with ACK is answered.

        Raises KernelRefused for the first one that the kernel refuses, in the words of
        `what(<its place>)`.
        """
        first = self._sequence + 1
        awaited = 0
        written = bytearray()
        for kind, flags, body in messages:
            sequence = self._next()
            awaited = sequence if flags & ACK else awaited
            written += message(kind, REQUEST | flags, sequence, body)
        self._make_room(len(written))
        self._socket.send(written)
        while True:
            for answer in self._receive(what(0)):
                if answer.kind != _ERROR or not first <= answer.sequence <= self._sequence:
                    continue
                if number := error_number(answer):
                    # What else comes for these has an old number, and is skipped by then.
                    raise KernelRefused(what(answer.sequence - first), number)
                if answer.sequence == awaited:
                    return

    def news(self, timeout: float) -> list[Message] | None:
        """Wait for what the joined groups tell; None if the kernel had to drop some of it."""
        self._socket.settimeout(timeout)
        try:
            return list(messages(self._socket.recv(_RECEIVE)))
        except (TimeoutError, BlockingIOError):
            return []
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            return None
        finally:
            self._socket.settimeout(_PATIENCE)

    def _next(self) -> int:
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        return self._sequence

    def _make_room(self, length: int) -> None:
        if length > 100_000:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, 2 * length)

    def _answers(self, what: str, sequence: int) -> Iterator[Message]:
        while True:
            for answer in self._receive(what):
                if answer.sequence == sequence:
                    yield answer

    def _receive(self, what: str) -> Iterator[Message]:
        try:
            return messages(self._socket.recv(_RECEIVE))
        except TimeoutError as error:
            raise KernelRefused(what, errno.ETIMEDOUT) from error


def message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    """Write a message."""
    return _HEADER.pack(16 + len(body), kind, flags, sequence, 0) + body + bytes(-len(body) % 4)


def messages(received: bytes) -> Iterator[Message]:
    """Take apart what one read gave."""
    at = 0
    while at + 16 <= len(received):
        length, kind, flags, sequence, port = _HEADER.unpack_from(received, at)
        yield Message(kind, flags, sequence, port, received[at + 16 : at + length])
        at += (length + 3) & ~3


def error_number(answer: Message) -> int:
    """Return the errno that an error message carries; 0 is an acknowledgement."""
    number: int = -struct.unpack_from("=i", answer.body)[0]
    return number


def attribute(kind: int, value: bytes) -> bytes:
    """Write one attribute."""
    length = len(value)
    return _ATTRIBUTE.pack(4 + length, kind) + value + bytes(-length % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    """Write an attribute that consists of attributes."""
    return attribute(kind | NESTED, b"".join(attributes))


def attributes(body: bytes, start: int = 0) -> dict[int, bytes]:
    """Read the attributes from `start` on: kind → bytes. The last of one kind counts."""
    found = {}
    at, end = start, len(body)
    while at + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        if length < 4:
            break
        found[kind & _KIND_MASK] = body[at + 4 : at + length]
        at += (length + 3) & ~3
    return found


def each_attribute(body: bytes, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """Read the attributes from `start` on, in order."""
    at, end = start, len(body)
    while at + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        if length < 4:
            return
        yield kind & _KIND_MASK, body[at + 4 : at + length]
        at += (length + 3) & ~3


def text(value: bytes) -> str:
    """Read a name that ends with a zero byte."""
    return value.rstrip(b"\0").decode(errors="replace")


def name(value: str) -> bytes:
    """Write a name that ends with a zero byte."""
    return value.encode() + b"\0"


def number(value: int) -> bytes:
    """Write a number of 32 bits in the byte order of the machine."""
    return _NUMBER.pack(value)


def read_number(value: bytes) -> int:
    """Read what `number` writes."""
    found: int = _NUMBER.unpack(value)[0]
    return found
