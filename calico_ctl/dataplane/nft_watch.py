"""Notices that somebody else changed nftables in this network namespace.

The kernel tells every change of every table to a multicast group. Our own are filtered out before
they reach us, by the port of the socket that they came through: a rebuild of ours tells megabytes.
What is left says which tables were touched, and by which program. Every firewall tool of today that
goes through nftables is seen here, iptables-nft among them.
"""

import re
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from calico_ctl.dataplane import nfnetlink
from calico_ctl.dataplane.netlink import (
    IF_EQUAL,
    KEEP,
    LOAD_WORD,
    NETFILTER,
    RETURN,
    Instruction,
    Netlink,
    attributes,
    text,
)

_BUFFER = 4 << 20
_PORT = 12
_SUBSYSTEM_MASK = 0xFF00
_TABLE_OF_EVERY_KIND = 1
"""NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_TABLE, … are all 1."""

_GENERATION_PROCESS_NAME = 3


@dataclass(frozen=True, slots=True)
class Touched:
    """Tables (family and name) that others changed; `by` are the programs, as far as known.

    `unknown`: the kernel had to drop some news, so any table may have been changed.
    """

    tables: frozenset[str] = frozenset()
    by: frozenset[str] = frozenset()
    unknown: bool = False

    def __bool__(self) -> bool:
        """Say whether anything may have been changed."""
        return bool(self.tables or self.by) or self.unknown

    def and_then(self, more: "Touched") -> "Touched":
        """Return both as one."""
        return Touched(self.tables | more.tables, self.by | more.by, self.unknown or more.unknown)


class NftWatch:
    """Follows what others change; what comes through this process's own sockets is filtered out."""

    def __init__(self) -> None:
        """Join the group."""
        self._news = Netlink(NETFILTER, [nfnetlink.GROUP_NFTABLES], _BUFFER)
        self._ours: frozenset[int] = frozenset()
        self._away = False
        self._ignore_ours()

    def close(self) -> None:
        """Leave the group."""
        self._news.close()

    @contextmanager
    def looking_away(self) -> Iterator[None]:
        """Be told of nothing meanwhile. Any thread may call this.

        Where somebody listens, the kernel writes down each of many thousand changes for him before
        it commits them, also those that he filters out: that takes longer than the changes.
        """
        self._away = True
        self._news.leave(nfnetlink.GROUP_NFTABLES)
        try:
            yield
        finally:
            self._news.join(nfnetlink.GROUP_NFTABLES)

    def has_looked_away(self) -> bool:
        """Say, once, whether something may have been missed."""
        was_away, self._away = self._away, False
        return was_away

    def wait(self, timeout: float) -> Touched:
        """Wait for changes by others, at most `timeout` seconds, and return what they touched."""
        messages = self._news.news(timeout)
        if messages is None:
            return Touched(unknown=True)
        if any(message.port in self._ours for message in messages):
            messages = [message for message in messages if message.port not in self._ours]
        elif messages and own_ports() != self._ours:
            # A library opened a socket anew: perhaps it was ourselves.
            self._ignore_ours()
            messages = [message for message in messages if message.port not in self._ours]
        tables = set()
        programs = set()
        for message in messages:
            if message.kind & _SUBSYSTEM_MASK != nfnetlink.SUBSYSTEM:
                continue
            found = attributes(message.body, 4)
            if message.kind == nfnetlink.NEW_GENERATION:
                programs.add(text(found.get(_GENERATION_PROCESS_NAME, b"")))
            elif _TABLE_OF_EVERY_KIND in found:
                family = nfnetlink.family_name(message.body[0])
                tables.add(f"{family} {text(found[_TABLE_OF_EVERY_KIND])}")
        return Touched(frozenset(tables), frozenset(programs))

    def _ignore_ours(self) -> None:
        self._ours = own_ports()
        self._news.keep_out(_others_than(self._ours))


def own_ports() -> frozenset[int]:
    """Return the ports of all netfilter netlink sockets of this process, in this namespace."""
    inodes = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except FileNotFoundError:
            continue
        if found := re.fullmatch(r"socket:\[(\d+)\]", target):
            inodes.add(found[1])
    # columns: sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode
    rows = [line.split() for line in Path("/proc/thread-self/net/netlink").read_text().splitlines()]
    return frozenset(
        int(row[2]) for row in rows[1:] if row[1] == str(NETFILTER) and row[9] in inodes
    )


def _others_than(ports: Iterable[int]) -> list[Instruction]:
    """Write the filter that drops messages that came through these ports.

    The port is the fourth word of a message's header.
    """
    listed = sorted(ports)
    asked = [
        (IF_EQUAL, len(listed) - number, 0, socket.htonl(port))
        for number, port in enumerate(listed)
    ]
    return [(LOAD_WORD, 0, 0, _PORT), *asked, (RETURN, 0, 0, KEEP), (RETURN, 0, 0, 0)]
