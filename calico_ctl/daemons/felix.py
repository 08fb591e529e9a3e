"""The policy agent as a process: the listeners around `agent`, which decides.

etcd ──▶ follow ──┐                        ┌──▶ kernel: table, routes, settings
links ────────────┤                        │
somebody's nft ───┼──▶ inbox ──▶ Agent ────┼──▶ flows ──▶ connections to be cut
clock ────────────┤                        └──▶ reports ──▶ etcd; meters ──▶ a file
diags, who asks ──┘                             └──▶ status, who asks
"""

import gc
import logging
import sys
import threading
from functools import partial

from calico_ctl.daemons.runtime import Post, Runtime, Stopping
from calico_ctl.datastore.store import Store
from calico_ctl.model.root import APART_FROM_POLICY, ROOT
from calico_ctl.wiring import RealPlatform

log = logging.getLogger(__name__)

VERIFY_SECONDS = 5.0

_SWITCH_SECONDS = 0.0005
"""How long another thread may keep the deciding one waiting for Python's lock (5 ms by default)."""


def run(platform: RealPlatform) -> None:
    """Run until told to stop; rules and routes stay as they are then."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    # The first read makes a hundred thousand objects that live long. They are looked through
    # neither while they are made nor ever after.
    gc.disable()
    runtime = Runtime()
    runtime.stop_on_signals()
    _listen_to_etcd(platform.store, runtime)
    _decide(platform, runtime)
    log.info("stopping; rules and routes stay in place")


def _decide(platform: RealPlatform, runtime: Runtime) -> None:
    # Imported here: etcd takes a tenth of a second to put together what it is being asked for.
    from calico_ctl.daemons import guard, state
    from calico_ctl.daemons.agent import Agent
    from calico_ctl.daemons.etcd_news import EtcdNews
    from calico_ctl.daemons.flows import Flows
    from calico_ctl.daemons.meters import Meters
    from calico_ctl.daemons.reports import Reports
    from calico_ctl.dataplane.nft_watch import NftWatch
    from calico_ctl.datastore import status
    from calico_ctl.datastore.follow import Resync
    from calico_ctl.host import local_answers

    meters = Meters(status.FELIX, platform.settings.metrics_directory)
    news = EtcdNews(platform.hostname, meters)
    reports, flows = Reports(platform.store, platform.hostname, meters), Flows()
    watch, caught_up = NftWatch(), threading.Event()
    agent = Agent(platform, reports, flows, watch)
    runtime.listen("links", _follow_links)
    runtime.listen("nftables", partial(guard.run, watch, caught_up))
    runtime.listen("flows", flows.run)
    runtime.listen("reports", reports.run)
    runtime.listen("meters", meters.run)
    runtime.listen("state", partial(state.run, local_answers.AGENT))
    now = partial(state.run_report, local_answers.AGENT_REPORT, reports.as_of_now)
    runtime.listen("report", now)
    runtime.tick_every(VERIFY_SECONDS)
    for batch in runtime.batches():
        news.hear(*batch)
        agent.turn(batch)
        state.answer(batch, agent.state)
        if any(isinstance(message, Resync) for message in batch):
            _go_easy(caught_up)


def _go_easy(caught_up: threading.Event) -> None:
    """Let what was put off until etcd's state is in the kernel take its time."""
    caught_up.set()
    gc.freeze()
    gc.enable()


def _listen_to_etcd(store: Store, runtime: Runtime) -> None:
    # Imported here, by this thread: two that import at the same time get in each other's way.
    from calico_ctl.datastore import follow
    from calico_ctl.datastore.follow import Scope

    scope = Scope(ROOT, without=APART_FROM_POLICY)
    runtime.listen("etcd", partial(follow.follow, store, scope))


def _follow_links(post: Post, stopping: Stopping) -> None:
    from calico_ctl.daemons.agent import LinksChanged
    from calico_ctl.dataplane import links

    with links.open_watch() as watch:
        while not stopping.is_set():
            if links.wait(watch, timeout=1.0):
                post(LinksChanged())
