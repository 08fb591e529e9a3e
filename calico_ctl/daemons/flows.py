"""Established connections that a changed policy may no longer allow.

The kernel lets an established connection pass without asking the rules, so a connection that became
disallowed has to be cut: its entry in the kernel's table goes, and its next packet is judged as a
first one. Reading that table takes long where it is long. So a thread of its own reads it, and the
deciding thread, which alone knows the policy, judges what was found, a few at a time.
"""

import queue
import threading
from collections.abc import Collection
from dataclasses import dataclass, field

from netaddr import IPAddress

from calico_ctl.daemons.runtime import Post, Stopping
from calico_ctl.dataplane.conntrack import Conntrack, Flow
from calico_ctl.host import addresses

_PATIENCE = 0.5


@dataclass(frozen=True, slots=True)
class FlowsSeen:
    """Some connections, and the addresses of the host itself. Set `judged` when done with them."""

    flows: Collection[Flow]
    host: frozenset[IPAddress]
    judged: threading.Event = field(default_factory=threading.Event, compare=False)


@dataclass(frozen=True, slots=True)
class _Look:
    addresses: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Forget:
    addresses: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Cut:
    flows: Collection[Flow]


_Job = _Look | _Forget | _Cut


class Flows:
    """The orders of the deciding thread, and the thread that carries them out."""

    def __init__(self) -> None:
        """Start without orders."""
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()

    @property
    def idle(self) -> bool:
        """Say whether no order waits."""
        return self._jobs.empty()

    def look(self, of: frozenset[str]) -> None:
        """Order the connections of these addresses to be posted as `FlowsSeen`."""
        if of:
            self._jobs.put(_Look(of))

    def forget(self, of: frozenset[str]) -> None:
        """Order the connections of these addresses to be forgotten: whoever gets an address next
        must not inherit them.
        """
        if of:
            self._jobs.put(_Forget(of))

    def cut(self, flows: Collection[Flow]) -> None:
        """Order these connections to be forgotten."""
        if flows:
            self._jobs.put(_Cut(flows))

    def run(self, post: Post, stopping: Stopping) -> None:
        """Carry out orders until `stopping` is set."""
        conntrack = Conntrack()
        try:
            while not stopping.is_set():
                try:
                    job = self._jobs.get(timeout=_PATIENCE)
                except queue.Empty:
                    continue
                self._carry_out(job, conntrack, post, stopping)
        finally:
            conntrack.close()

    def _carry_out(self, job: _Job, conntrack: Conntrack, post: Post, stopping: Stopping) -> None:
        match job:
            case _Look():
                self._look(job, conntrack, post, stopping)
            case _Forget():
                conntrack.forget(_parsed(job.addresses))
            case _Cut():
                for flow in job.flows:
                    conntrack.delete(flow)

    def _look(self, job: _Look, conntrack: Conntrack, post: Post, stopping: Stopping) -> None:
        host: frozenset[IPAddress] | None = None
        for flows in conntrack.flows(_parsed(job.addresses)):
            if host is None:
                host = frozenset(each.ip for each in addresses.local())
            seen = FlowsSeen(flows, host)
            post(seen)
            # One at a time: between two of them the deciding thread takes in what else there is.
            while not seen.judged.wait(_PATIENCE):
                if stopping.is_set():
                    return


def _parsed(texts: frozenset[str]) -> frozenset[IPAddress]:
    return frozenset(IPAddress(text) for text in texts)
