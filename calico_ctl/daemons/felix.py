"""The policy agent: etcd → snapshot → nftables, routes and settings → acknowledged status.

The order that keeps it closed: the table that drops everything on unknown interfaces of ours
exists before anything else; nothing of a live table is touched before the first complete read of
etcd; then each batch of changes is one transaction; host routes come after the rules; an endpoint
is acknowledged only when both are in place. When etcd goes away, the last state stays. When etcd
comes back without `/calico/Ready`, it is not the store that we know, and the last state stays too.
"""

import logging
import os
import time
from collections.abc import Iterable, Mapping

from netaddr import IPAddress

from calico_ctl import __version__
from calico_ctl.daemons.runtime import Post, Runtime, Stopping, Tick
from calico_ctl.dataplane import conntrack, docker_firewall, host_side, links
from calico_ctl.dataplane.nft import Nft
from calico_ctl.datastore import follow, status
from calico_ctl.datastore.follow import Changes, Disconnected, Resync
from calico_ctl.datastore.status import AgentStatus, BadKey, EndpointStatus
from calico_ctl.errors import CalicoError, CommandFailed
from calico_ctl.model import keys
from calico_ctl.model.endpoint import Endpoint, EndpointKey
from calico_ctl.model.keys import Leaf
from calico_ctl.model.snapshot import Snapshot
from calico_ctl.policy import active, diff
from calico_ctl.policy.ruleset import Names, Ruleset
from calico_ctl.policy.tags import TagIndex
from calico_ctl.workload.platform import Platform

log = logging.getLogger(__name__)

VERIFY_SECONDS = 5.0
REPORT_SECONDS = 20.0


class LinksChanged:
    """Some link of this host appeared, changed or went away."""


class Cluster:
    """The snapshot and the tag memberships that belong to it, kept in step."""

    def __init__(self, entries: Mapping[str, tuple[str, int]]) -> None:
        """Fold in a complete read: key → (value, revision)."""
        self.snapshot = Snapshot()
        self.tags = TagIndex()
        for key, (value, revision) in entries.items():
            self.apply(key, value, revision)

    def apply(self, key: str, value: str | None, revision: int) -> bool:
        """Fold in one change; say whether it is about something that we follow."""
        parsed = self.snapshot.apply(key, value, revision)
        if parsed is None:
            return False
        if parsed.endpoint is not None:
            self.tags.set_endpoint(parsed.endpoint, self.snapshot.endpoints.get(parsed.endpoint))
        elif parsed.leaf is Leaf.PROFILE_TAGS:
            self.tags.set_profile(parsed.name, self.snapshot.tags.get(parsed.name, ()))
        return True


class Agent:
    """The deciding thread's state. Every method runs in that one thread."""

    def __init__(self, platform: Platform) -> None:
        """Close what is unknown before anything else; keep a table that is there already."""
        self._platform = platform
        self._nft = Nft()
        self._cluster: Cluster | None = None
        self._was_ready = True
        self._installed: Ruleset | None = None
        self._local: list[Endpoint] = []
        self._complete: frozenset[str] = frozenset()
        self._acknowledged: dict[EndpointKey, EndpointStatus] = {}
        self._addresses: frozenset[IPAddress] = frozenset()
        self._revision = 0
        self._trouble = ""
        self._since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._next_report = 0.0
        if self._nft.names() is None:
            self._nft.apply(diff.rebuild(Names(), active.empty()))
            log.info("no table found: installed one that drops everything on our interfaces")

    def turn(self, batch: Iterable[object]) -> None:
        """Take in a batch, make the host right, report."""
        changed, verify = self._take_in(batch)
        if not self._is_ready() or not (changed or verify):
            return
        started = self._platform.clock.monotonic()
        try:
            done = self._program(verify)
            self._trouble = ""
        except CommandFailed as error:
            # What the kernel holds is not known now: the next turn writes everything anew.
            self._installed = None
            self._trouble = error.message
            log.warning("cannot program this host, trying again: %s", error.message)
            done = []
        if done:
            milliseconds = (self._platform.clock.monotonic() - started) * 1000
            log.info("%s in %.1f ms", ", ".join(done), milliseconds)
        self._report(urgent=bool(done))

    def _take_in(self, batch: Iterable[object]) -> tuple[bool, bool]:
        changed = verify = False
        for message in batch:
            match message:
                case Resync(entries=entries, revision=revision):
                    self._cluster, self._revision, changed = Cluster(entries), revision, True
                case Changes(changes=changes) if self._cluster is not None:
                    for each in changes:
                        changed |= self._cluster.apply(each.key, each.value, each.revision)
                        self._revision = each.revision
                case Disconnected(reason=reason):
                    log.warning("etcd is away, the last state stays: %s", reason)
                case LinksChanged() | Tick():
                    verify = True
                case _:
                    pass
        return changed, verify

    def _is_ready(self) -> bool:
        """Say whether what we know may be acted upon; a store that is being set up may not."""
        ready = self._cluster is not None and self._cluster.snapshot.ready
        if self._cluster is not None and ready != self._was_ready:
            if not ready:
                log.warning("%s is not true in etcd: the last state stays", keys.READY)
            self._was_ready = ready
        return ready

    def _program(self, verify: bool) -> list[str]:
        assert self._cluster is not None  # noqa: S101 - turn() has seen to it
        cluster, hostname = self._cluster, self._platform.hostname
        done = []
        desired = active.ruleset(cluster.snapshot, cluster.tags, hostname)
        if self._apply(desired, verify):
            done.append(f"wrote rules for {len(desired.maps['to-ep'].verdicts)} endpoints")
        local = active.local_endpoints(cluster.snapshot, hostname)
        if verify or local != self._local:
            complete = host_side.sync(local)
            if complete != self._complete:
                done.append(f"{len(complete)} of {len(local)} endpoints are reachable")
            self._local, self._complete = local, complete
        self._forget_connections(local)
        if verify and docker_firewall.ensure():
            done.append("put the accept rules before Docker's filter")
        return done

    def _apply(self, desired: Ruleset, verify: bool) -> bool:
        # Asking the kernel what it holds is slow where it holds much: not on every change.
        live = self._nft.names() if verify or self._installed is None else None
        if self._installed is None or (verify and _differs(live, self._installed)):
            self._nft.apply(diff.rebuild(live or Names(), desired))
        elif script := diff.changes(self._installed, desired):
            self._nft.apply(script)
        else:
            return False
        self._installed = desired
        return True

    def _forget_connections(self, local: Iterable[Endpoint]) -> None:
        addresses = frozenset(ip for endpoint in local for ip in endpoint.addresses)
        conntrack.forget(self._addresses - addresses)
        self._addresses = addresses

    def _report(self, *, urgent: bool) -> None:
        now = self._platform.clock.monotonic()
        try:
            self._acknowledge()
            if urgent or now >= self._next_report:
                self._report_self()
                self._next_report = now + REPORT_SECONDS
        except CalicoError as error:
            log.warning("cannot report to etcd: %s", error.message)

    def _acknowledge(self) -> None:
        store, statuses = self._platform.store, self._statuses()
        for key, value in statuses.items():
            if self._acknowledged.get(key) != value:
                status.write_endpoint(store, key, value)
                self._acknowledged[key] = value
        for key in self._acknowledged.keys() - statuses.keys():
            status.remove_endpoint(store, key)
            del self._acknowledged[key]

    def _statuses(self) -> dict[EndpointKey, EndpointStatus]:
        """Say of each local endpoint how it is; one whose interface is not there yet is silent."""
        assert self._cluster is not None  # noqa: S101 - turn() has seen to it
        snapshot, hostname = self._cluster.snapshot, self._platform.hostname
        if self._trouble:
            return dict(self._acknowledged)
        active_names = {each.name for each in active.local_endpoints(snapshot, hostname)}
        statuses = {}
        for key, revision in snapshot.revisions.items():
            if key.host != hostname:
                continue
            endpoint = snapshot.endpoints.get(key)
            problem = snapshot.problems.get(keys.endpoint(key), "")
            if endpoint is None:
                statuses[key] = EndpointStatus(status.ERROR, revision, problem)
            elif endpoint.name in self._complete or endpoint.name not in active_names:
                statuses[key] = EndpointStatus(status.UP, revision)
            elif key in self._acknowledged:
                statuses[key] = EndpointStatus(status.DOWN, revision, "its interface is not there")
        return statuses

    def _report_self(self) -> None:
        assert self._cluster is not None  # noqa: S101 - turn() has seen to it
        snapshot = self._cluster.snapshot
        report = AgentStatus(
            since=self._since,
            endpoints=len(self._complete),
            bad_keys=tuple(BadKey(key, why) for key, why in sorted(snapshot.problems.items())),
            trouble=self._trouble,
            in_sync_revision=self._revision,
            pid=os.getpid(),
            version=__version__,
        )
        status.write_agent(self._platform.store, self._platform.hostname, report)


def run(platform: Platform) -> None:
    """Run until told to stop; rules and routes stay as they are then."""
    runtime = Runtime()
    runtime.stop_on_signals()
    agent = Agent(platform)
    runtime.listen("etcd", lambda post, stopping: _follow(platform, post, stopping))
    runtime.listen("links", _follow_links)
    runtime.tick_every(VERIFY_SECONDS)
    for batch in runtime.batches():
        agent.turn(batch)
    log.info("stopping; rules and routes stay in place")


def _follow(platform: Platform, post: Post, stopping: Stopping) -> None:
    follow.follow(platform.store, keys.ROOT, post, stopping)


def _follow_links(post: Post, stopping: Stopping) -> None:
    with links.open_watch() as watch:
        while not stopping.is_set():
            if links.wait(watch, timeout=1.0):
                post(LinksChanged())


def _differs(live: Names | None, installed: Ruleset) -> bool:
    return (
        live is None
        or live.chains != installed.chains.keys()
        or live.sets != installed.sets.keys()
        or live.maps != installed.maps.keys()
    )
