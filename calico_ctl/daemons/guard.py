"""Stands beside our table and Docker's firewall, and notices when somebody else touches either.

A thread of its own, because putting rules into iptables takes tens of milliseconds. It mends the
accept rules before Docker's filter by itself; of our table it only tells, because what the table
shall hold only the deciding thread knows.
"""

import logging
import time
from dataclasses import dataclass
from threading import Event

from calico_ctl.daemons.runtime import Post, Stopping
from calico_ctl.dataplane import docker_firewall
from calico_ctl.dataplane.nft_watch import NftWatch, Touched
from calico_ctl.policy.ruleset import TABLE

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""How often to look where the kernel tells nothing of changes: the rules of iptables-legacy."""

# The programs that look, and what it takes to run one, would slow down the agent's start.
_FIRST_LOOK_SECONDS = 2.0
_WAIT_SECONDS = 1.0
_QUIET_SECONDS = 0.05
_LONGEST_GATHERING = 0.5


@dataclass(frozen=True, slots=True)
class TableTouched:
    """Somebody else changed our table; `by` names the programs, if they are known."""

    by: str


@dataclass(frozen=True, slots=True)
class FirewallMended:
    """The accept rules before Docker's filter had to be put there again, in so many chains."""

    chains: int


def run(watch: NftWatch, caught_up: Event, post: Post, stopping: Stopping) -> None:
    """Watch until `stopping` is set. The first look waits until the agent has caught up with etcd.

    But not for long: etcd may be away.
    """
    # The watch is open already: what somebody changes while the rules are put there is not missed.
    caught_up.wait(_FIRST_LOOK_SECONDS)
    docker_firewall.ensure()
    looked = time.monotonic()
    while not stopping.is_set():
        touched = watch.wait(_WAIT_SECONDS)
        if touched:
            touched = _gather(watch, touched)
        if touched.unknown or TABLE in touched.tables:
            post(TableTouched(", ".join(sorted(touched.by))))
        # Of changes by iptables-legacy nobody is told, and of others not while we looked away.
        overdue = time.monotonic() - looked > LOOK_SECONDS and _has_to_be_looked_at(watch)
        if touched.unknown or touched.tables & docker_firewall.NFT_TABLES or overdue:
            looked = time.monotonic()
            if mended := docker_firewall.ensure():
                log.warning("put the accept rules before Docker's filter again")
                post(FirewallMended(mended))


def _has_to_be_looked_at(watch: NftWatch) -> bool:
    return watch.has_looked_away() or docker_firewall.uses_legacy()


def _gather(watch: NftWatch, first: Touched) -> Touched:
    """Wait until a burst is over: a firewall tool changes many things, one after the other."""
    seen = first
    until = time.monotonic() + _LONGEST_GATHERING
    while time.monotonic() < until and (more := watch.wait(_QUIET_SECONDS)):
        seen = seen.and_then(more)
    return seen
