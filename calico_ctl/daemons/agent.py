"""The policy agent's decisions: what came in → what the kernel shall hold → acknowledgement.

The order that keeps it closed: the table that drops everything on unknown interfaces of ours
exists before anything else; nothing of a live table is touched before the first complete read of
etcd; then each batch of changes is one transaction; host routes come after the rules; an endpoint
is acknowledged only when both are in place.

When etcd goes away, the last state stays. When it comes back it has to be believed again: as long
as `/calico/Ready` is not true, or it knows no endpoint of this host although their interfaces are
in use, the last state stays too, and the agent's report says so.
"""

import logging
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace

from calico_ctl import __version__
from calico_ctl.daemons import state
from calico_ctl.daemons.flows import Flows, FlowsSeen
from calico_ctl.daemons.guard import FirewallMended, TableTouched
from calico_ctl.daemons.repairing import Repairing
from calico_ctl.daemons.reports import Reports
from calico_ctl.daemons.runtime import Tick
from calico_ctl.dataplane import host_side
from calico_ctl.dataplane.conntrack import Flow
from calico_ctl.dataplane.host_side import HostSide
from calico_ctl.dataplane.nft_watch import NftWatch
from calico_ctl.dataplane.table import KernelTable
from calico_ctl.datastore import status
from calico_ctl.datastore.follow import Change, Changes, Disconnected, Message, Part, Resync
from calico_ctl.datastore.status import AgentStatus, BadKey, EndpointStatus
from calico_ctl.errors import CalicoError
from calico_ctl.model import codec, keys, metric
from calico_ctl.model.endpoint import Endpoint, EndpointKey, State
from calico_ctl.model.keys import Leaf
from calico_ctl.policy import desired as policy_desired
from calico_ctl.policy.desired import Desired
from calico_ctl.policy.established import Judge
from calico_ctl.policy.ruleset import Step
from calico_ctl.policy.verdict import Packet
from calico_ctl.workload.platform import Platform

log = logging.getLogger(__name__)

BAD_KEYS_SHOWN = 200
"""A report lists no more bad keys than this: etcd takes values of 1.5 MB at most."""


class LinksChanged:
    """Some link or route of this host appeared, changed or went away."""


class Agent:
    """The deciding thread's state. Every method runs in that one thread."""

    def __init__(
        self, platform: Platform, reports: Reports, flows: Flows, watch: NftWatch | None = None
    ) -> None:
        """Close what is unknown before anything else; keep a table that is there already.

        `watch` is who looks out for others that change the table.
        """
        self._platform = platform
        self._reports, self._flows = reports, flows
        self._table, self._host = KernelTable(watch), HostSide()
        # what is being read of etcd, what etcd says, whether that is believed, and what the kernel
        # was made to hold last
        self._coming: Desired | None = None
        self._seen: Desired | None = None
        self._believed = False
        self._acted: Desired | None = None
        self._rebuild_due = True
        self._repairing = Repairing(platform.clock)
        # what is right on this host, and how it was reported
        self._synced: dict[str, Endpoint] = {}
        self._complete: frozenset[str] = frozenset()
        self._unacknowledged = True
        self._report = AgentStatus(since=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
        self._problems: dict[str, str] = {}
        if not self._table.exists():
            self._table.rebuild(policy_desired.empty())
            log.info("no table found: installed one that drops everything on our interfaces")

    def close(self) -> None:
        """Let go of the kernel; rules and routes stay."""
        self._table.close()
        self._host.close()

    def turn(self, batch: Iterable[object]) -> None:
        """Take in a batch, make the host right, report."""
        began = self._platform.clock.monotonic()
        look = self._take_in(batch)
        if self._table.disturbed:
            self._table.disturbed = False
            self._repairing.touched("somebody, perhaps")
        trouble = self._doubt()
        statuses: dict[EndpointKey, EndpointStatus] | None = None
        done: list[str] = []
        try:
            if self._seen is not None and not trouble:
                statuses, done = self._program(self._seen, look=look)
            else:
                done = self._hold(look=look)
        except CalicoError as error:
            trouble = f"cannot program this host: {error.message}"
        took = self._ms_since(began)
        if done:
            log.info("%s in %.1f ms", ", ".join(done), took)
            self._report = replace(self._report, last_update_ms=round(took, 1))
            self._reports.meters.observe(metric.UPDATE, took / 1000)
        else:
            log.debug("nothing to change, decided in %.1f ms", took)
        if look and self._acted is not None:
            # Not at each change: all chains are counted.
            self._report = replace(self._report, **asdict(self._acted.size()))
        self._tell(statuses, trouble)
        if self._seen is not None and not self._seen.all_read:
            # Only now: rules that nobody here has must not delay those that somebody has.
            self._seen.read_rest()
            self._tell(None, trouble)

    def state(self) -> Mapping[str, object]:
        """Return what it goes by and what it made of it, for who looks for a fault."""
        acted = self._acted
        enforced = {} if acted is None else acted.enforced
        return {
            "hostname": self._platform.hostname,
            "report": asdict(self._report),
            "etcd_read": self._seen is not None,
            "etcd_believed": self._believed,
            "rebuild_due": self._rebuild_due,
            "endpoints": {
                name: {"id": endpoint.key.id, "reachable": name in self._complete}
                for name, endpoint in sorted(enforced.items())
            },
            "refused": dict(self._host.refusals),
            "unusable_keys": len(self._problems),
            "table": None if acted is None else state.described(acted.table()),
        }

    def _take_in(self, batch: Iterable[object]) -> bool:
        """Fold in what came; say whether links, routes and settings are to be looked at."""
        look = False
        for message in batch:
            match message:
                case Part() | Resync() | Changes() | Disconnected():
                    self._take_in_etcd(message)
                case FlowsSeen():
                    self._judge(message)
                case TableTouched(by=by):
                    self._repairing.touched(by)
                case FirewallMended(chains=chains):
                    self._repairing.count("firewall", chains)
                case LinksChanged() | Tick():
                    look = True
                case _:
                    pass
        return look

    def _take_in_etcd(self, message: Message) -> None:
        match message:
            case Part(number=number, entries=entries):
                if number == 0 or self._coming is None:
                    self._coming = Desired(self._platform.hostname)
                self._coming.begin(entries)
            case Resync(entries=entries, revision=revision):
                self._begin(entries, revision)
            case Changes(changes=changes) if self._seen is not None:
                _say_read(changes)
                for each in changes:
                    self._seen.apply(each.key, each.value, each.revision)
                    _look_for_quotes(each.key, each.value)
                self._report = replace(self._report, in_sync_revision=changes[-1].revision)
            case Disconnected(reason=reason):
                self._coming = None
                log.warning("etcd is away, the last state stays: %s", reason)
            case _:
                pass

    def _begin(self, entries: Mapping[str, tuple[str, int]], revision: int) -> None:
        """Start over with a complete read, key → (value, revision), of which parts may be here."""
        log.debug("read all %d keys of etcd, revision %d", len(entries), revision)
        self._seen, self._coming, self._believed = self._coming, None, False
        if self._seen is None:
            self._seen = Desired(self._platform.hostname)
            self._seen.begin(entries)
        for key, (value, _) in entries.items():
            _look_for_quotes(key, value)
        self._report = replace(self._report, in_sync_revision=revision)

    def _doubt(self) -> str:
        """Say why what etcd says is not to be acted upon; empty if it is."""
        seen = self._seen
        if seen is None:
            return ""
        if not seen.snapshot.ready:
            self._believed = False
            return f"{keys.READY} is not true in etcd: rules and routes stay as they are"
        if not self._believed and (lost := self._would_lose(seen)):
            return (
                f"etcd at {self._platform.store.address} knows no endpoint of this host"
                f" ({self._platform.hostname}), but {len(lost)} of them are in use"
                f" ({', '.join(sorted(lost)[:5])}): rules and routes stay as they are"
            )
        self._believed = True
        return ""

    def _would_lose(self, seen: Desired) -> frozenset[str]:
        """Return the interfaces in use that would be cut off: all, if etcd knows none of them."""
        if seen.local:
            return frozenset()
        let_through = self._table.interfaces() if self._acted is None else self._acted.enforced
        return frozenset(let_through) & host_side.interfaces()

    def _program(
        self, seen: Desired, *, look: bool
    ) -> tuple[dict[EndpointKey, EndpointStatus] | None, list[str]]:
        """Make the kernel hold what etcd says; return new statuses, if any, and what was done."""
        change, done = seen.take(), list[str]()
        adopted = self._acted is not seen
        rebuild = self._repairing.due() or self._rebuild_due
        # Until it is done it is not known what the kernel holds; then all is written anew.
        self._rebuild_due = True
        if rebuild or self._acted is None:
            self._table.rebuild(seen.table())
            done.append(f"wrote the whole table for {len(seen.enforced)} endpoints")
        elif adopted:
            self._take(Step(self._acted.table(), seen.table()))
            done.append(f"took over {len(seen.enforced)} endpoints from etcd")
        elif change.step:
            self._take(change.step)
            done.append(change.step.summary())
        if rebuild or adopted:
            before = self._acted.addresses() if self._acted is not None else set()
            present = frozenset(seen.addresses())
            change = replace(change, judge=present, forget=change.forget | (before - present))
        self._acted, self._rebuild_due = seen, False
        self._unacknowledged |= adopted or change.local
        self._flows.look(change.judge)
        self._flows.forget(change.forget)
        if self._sync_host(seen, look=look):
            self._unacknowledged = True
            done.append(f"{len(self._complete)} of {len(seen.enforced)} endpoints are reachable")
        if not self._unacknowledged:
            return None, done
        self._unacknowledged = False
        return self._statuses(seen), done

    def _take(self, step: Step) -> None:
        if log.isEnabledFor(logging.DEBUG):
            log.debug("changing %s", step.details())
        began = self._platform.clock.monotonic()
        self._table.take(step)
        log.debug("the kernel took it in %.1f ms", self._ms_since(began))

    def _ms_since(self, began: float) -> float:
        return (self._platform.clock.monotonic() - began) * 1000

    def _hold(self, *, look: bool) -> list[str]:
        """Keep the last state, whoever touches it; before there is one, keep the host closed."""
        done = []
        if self._repairing.due():
            if self._acted is not None:
                self._table.rebuild(self._acted.table())
            elif not self._table.exists():
                self._table.rebuild(policy_desired.empty())
            done.append("wrote the last table anew")
        if self._acted is not None:
            self._sync_host(self._acted, look=look)
        return done

    def _sync_host(self, seen: Desired, *, look: bool) -> bool:
        """Make routes and settings right if they may not be; say whether more or less works now."""
        if not look and seen.enforced == self._synced:
            return False
        before, began = self._host.repairs, self._platform.clock.monotonic()
        complete = self._host.sync(seen.enforced.values())
        what = "looked at links, routes and settings of %d endpoints in %.1f ms"
        log.debug(what, len(seen.enforced), self._ms_since(began))
        if mended := self._host.repairs - before:
            log.warning("mended %d routes, neighbours or kernel settings", mended)
            self._repairing.count("host", mended)
        changed = complete != self._complete
        self._synced, self._complete = dict(seen.enforced), complete
        return changed

    def _judge(self, found: FlowsSeen) -> None:
        """Have those connections cut that the policy would not let begin."""
        if self._acted is not None:
            judge = Judge(self._acted, found.host)
            cut = [
                each for each in found.flows if not each.expected and not judge.allows(_first(each))
            ]
            log.debug("asked the rules about %d connections", len(found.flows))
            if cut:
                log.info("cut %d connections that are not allowed any more", len(cut))
            self._flows.cut(cut)
        found.judged.set()

    def _statuses(self, seen: Desired) -> dict[EndpointKey, EndpointStatus]:
        """Say of each local endpoint how it is; one whose interface is not there yet is silent."""
        statuses = {}
        for key in seen.local:
            revision = seen.snapshot.revisions[key]
            endpoint = seen.snapshot.endpoints.get(key)
            wrong = seen.snapshot.problems.get(keys.endpoint(key), "") or seen.shut_out(key)
            if not wrong and endpoint is not None:
                wrong = self._host.refusals.get(endpoint.name, "")
            if wrong or endpoint is None:
                statuses[key] = EndpointStatus(status.ERROR, revision, wrong)
            elif endpoint.state is State.INACTIVE or endpoint.name in self._complete:
                statuses[key] = EndpointStatus(status.UP, revision)
            elif self._reports.acknowledged(key):
                statuses[key] = EndpointStatus(status.DOWN, revision, "its interface is not there")
        return statuses

    def _tell(self, statuses: dict[EndpointKey, EndpointStatus] | None, trouble: str) -> None:
        """Report; at once if something is wrong that was right, or the other way round."""
        problems = self._problems
        if self._seen is not None and self._seen.all_read:
            problems = self._seen.problems
        for key in problems.keys() - self._problems.keys():
            log.warning("left out %s: %s", key, problems[key])
        if trouble and trouble != self._report.trouble:
            log.warning("%s", trouble)
        before = self._report
        self._report = replace(
            before, endpoints=len(self._complete), trouble=trouble, repairs=self._repairing.counts()
        )
        if problems != self._problems:
            shown = sorted(problems.items())[:BAD_KEYS_SHOWN]
            bad_keys = tuple(BadKey(key, why) for key, why in shown)
            self._report = replace(self._report, bad_keys=bad_keys, bad_key_count=len(problems))
            self._problems = problems
        if self._seen is None:
            return
        worth = (before.pid, before.trouble, before.repairs, before.bad_keys)
        self._report = replace(self._report, pid=os.getpid(), version=__version__)
        now = (self._report.pid, trouble, self._report.repairs, self._report.bad_keys)
        self._reports.submit(statuses, self._report, urgent=worth != now)


def _say_read(changes: Iterable[Change]) -> None:
    """Name the keys that changed, for who looks closely. Values may be long, or secret."""
    if not log.isEnabledFor(logging.DEBUG):
        return
    for each in changes:
        what = "is gone" if each.value is None else "was written"
        log.debug("read of etcd, revision %d: %s %s", each.revision, each.key, what)


def _look_for_quotes(key: str, value: str | None) -> None:
    """Warn of tags whose quotes got lost."""
    if value is None or not key.endswith("/tags"):
        return
    parsed = keys.parse(key)
    if parsed is None or parsed.leaf is not Leaf.PROFILE_TAGS:
        return
    if codec.tags_lost_their_quotes(value):
        log.warning("%s is not JSON, some shell took its quotes; read as bare names", key)


def _first(flow: Flow) -> Packet:
    return Packet(
        flow.src,
        flow.dst,
        flow.protocol,
        flow.src_port,
        flow.dst_port,
        flow.icmp_type,
        flow.icmp_code,
    )
