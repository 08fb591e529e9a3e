"""Every nftables transaction of a network namespace, as the kernel tells of it (nfnetlink group 7).

The kernel sends what a transaction changed, object by object, and at its end a NEWGEN with the
process that made it. So a transaction is what comes up to a NEWGEN, and the time at which that is
read is the time at which the change is visible, plus what the kernel and we need to tell of it.

What belongs to a change is recognised by bytes that only this change can have brought: an attribute
with an address, a port that was never used before, an interface's name. That holds for any table.
"""

import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from calico_ctl.dataplane import netlink
from calico_ctl.dataplane.netlink import Message, Netlink
from tests.support.netns import NetNs

_NFTABLES = 10 << 8
NEW_CHAIN, NEW_RULE = _NFTABLES | 3, _NFTABLES | 6
DEL_CHAIN, DEL_RULE = _NFTABLES | 5, _NFTABLES | 8
NEW_ELEMENT, DEL_ELEMENT = _NFTABLES | 12, _NFTABLES | 14
_NEW_GENERATION = _NFTABLES | 15
_GROUP = 7
_BUFFER = 256 << 20
_PROC_PID = 2
_ELEMENTS, _KEY, _VALUE = 3, 1, 1


@dataclass(frozen=True)
class Sign:
    """Bytes that show, in a message of one of these kinds, that a change has arrived."""

    kinds: frozenset[int]
    needle: bytes

    def is_in(self, message: Message) -> bool:
        """Say whether a message shows it."""
        return message.kind in self.kinds and self.needle in message.body


@dataclass
class Commit:
    """One transaction: when it was seen, who made it, what it changed."""

    seen: float = 0.0
    pid: int = 0
    messages: list[Message] = field(default_factory=list)

    def count(self, *kinds: int) -> int:
        """Say how many messages of these kinds it has."""
        return sum(message.kind in kinds for message in self.messages)

    def keys_of_elements(self, kind: int) -> Iterator[bytes]:
        """Yield the keys that came into sets (or left them)."""
        for message in self.messages:
            if message.kind != kind:
                continue
            listed = netlink.attributes(message.body, 4).get(_ELEMENTS, b"")
            for _, element in netlink.each_attribute(listed):
                key = netlink.attributes(element).get(_KEY, b"")
                yield netlink.attributes(key).get(_VALUE, b"")


class Commits:
    """The transactions from now on. Use from one thread."""

    def __init__(self, namespace: NetNs) -> None:
        """Listen in a namespace."""
        with namespace.entered():
            self._netlink = Netlink(netlink.NETFILTER, (_GROUP,), _BUFFER)
        self._open = Commit()
        self._done: list[Commit] = []

    def close(self) -> None:
        """Stop listening."""
        self._netlink.close()

    def until(self, done: Callable[[Commit], bool], timeout: float) -> float:
        """Show transactions to `done` until it is content; return when, infinity if it never is."""
        end = time.monotonic() + timeout
        return next((commit.seen for commit in self._each(end) if done(commit)), float("inf"))

    def within(self, seconds: float) -> list[Commit]:
        """Return the transactions of the next so many seconds and those not yet looked at."""
        return list(self._each(time.monotonic() + seconds))

    def _each(self, end: float) -> Iterator[Commit]:
        """Yield transactions until the time is over."""
        while True:
            while self._done:
                yield self._done.pop(0)
            left = end - time.monotonic()
            if left <= 0:
                return
            self._read(left)

    def _read(self, timeout: float) -> None:
        messages = self._netlink.news(timeout)
        now = time.monotonic()
        if messages is None:
            raise RuntimeError("the kernel had to drop news of nftables: the buffer was too small")
        for message in messages:
            if message.kind != _NEW_GENERATION:
                self._open.messages.append(message)
                continue
            pid = netlink.attributes(message.body, 4).get(_PROC_PID, bytes(4))
            self._open.seen, self._open.pid = now, int.from_bytes(pid, "big")
            self._done.append(self._open)
            self._open = Commit()


def showing(*signs: Sign) -> Callable[[Commit], bool]:
    """Return what is content once the transactions that it was shown have shown all signs."""
    missing = set(signs)

    def content(commit: Commit) -> bool:
        for message in commit.messages:
            missing.difference_update([sign for sign in missing if sign.is_in(message)])
        return not missing

    return content


def port_in_rules(port: int) -> Sign:
    """Return the sign of a port in a rule, or in a set that a rule has."""
    kinds = frozenset({NEW_RULE, NEW_ELEMENT})
    return Sign(kinds, netlink.attribute(_VALUE, struct.pack("!H", port)))


def member(ip: IPv4Address | IPv6Address, kind: int = NEW_ELEMENT) -> Sign:
    """Return the sign of an address that comes into a set (or leaves it: DEL_ELEMENT)."""
    return Sign(frozenset({kind}), netlink.attribute(_VALUE, ip.packed))


def interface(name: str, kind: int = NEW_ELEMENT) -> Sign:
    """Return the sign of an interface that comes into a set or map (or leaves it)."""
    return Sign(frozenset({kind}), netlink.name(name))
