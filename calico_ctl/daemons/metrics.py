"""The metrics service: what all services of this node measured, for Prometheus and for probes.

`/metrics` is everything; `/healthz` says whether each service lives, `/readyz` whether each does
its work, the policy agent in sync with etcd: 200, or 503 with the reasons. It reads the files that
the services write (`meters`), asks nobody, and gives no control over anything.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from calico_ctl import __version__
from calico_ctl.daemons import meters as files_of_meters
from calico_ctl.daemons.meters import Meters
from calico_ctl.daemons.runtime import Post, Runtime, Stopping
from calico_ctl.daemons.service_report import ServiceReport
from calico_ctl.datastore import status
from calico_ctl.errors import AlreadyExists, CalicoError
from calico_ctl.host import pages
from calico_ctl.host.pages import Page
from calico_ctl.model import measured, metric
from calico_ctl.model.measured import Measured, Sample
from calico_ctl.model.metrics_address import MetricsAddress
from calico_ctl.wiring import RealPlatform

log = logging.getLogger(__name__)

SILENT_SECONDS = 30.0
"""A service whose measurements are older than this counts as dead."""

_RETRY_SECONDS = 2.0
_INDEX = "calico-node: /metrics for Prometheus, /healthz and /readyz for probes\n"


@dataclass(frozen=True, slots=True)
class Pages:
    """Makes the pages; `services` are those that this node is to have beside this one."""

    directory: str
    services: Sequence[str]
    own: Meters
    monotonic: Callable[[], float]

    def answer(self, path: str) -> Page:
        """Return the page of a path."""
        match path:
            case "/metrics":
                self.own.count(metric.SCRAPES)
                return Page(200, measured.exposition(self._samples()), measured.CONTENT_TYPE)
            case "/healthz":
                return _verdict([*self._silent()])
            case "/readyz":
                return _verdict([*self._silent(), *self._troubled()])
            case "/":
                return Page(200, _INDEX)
            case _:
                return Page(404, _INDEX)

    def _samples(self) -> list[Sample]:
        found = self._found()
        samples = [Sample(metric.BUILD, (__version__,), 1), *measured.by_service(found.values())]
        for service in self._expected():
            one = found.get(service)
            labels = (service,)
            samples.append(Sample(metric.UP, labels, int(one is not None and self._lives(one))))
            if one is not None:
                samples += [
                    Sample(metric.AGE, labels, round(self._age(one), 3)),
                    Sample(metric.START_TIME, labels, one.started),
                    Sample(metric.RESTARTS, labels, one.restarts),
                    Sample(metric.TROUBLE, labels, int(one.trouble != "")),
                ]
        return samples

    def _silent(self) -> Iterator[str]:
        found = self._found()
        for service in self._expected():
            one = found.get(service)
            if one is None:
                yield f"{service}: it has measured nothing yet"
            elif not self._lives(one):
                yield f"{service}: nothing was heard of it for {self._age(one):.0f} s"

    def _troubled(self) -> Iterator[str]:
        for service, one in self._found().items():
            if one.trouble is None:
                yield f"{service}: it is not in sync yet"
            elif one.trouble:
                yield f"{service}: {one.trouble}"

    def _expected(self) -> Sequence[str]:
        return (*self.services, self.own.service)

    def _found(self) -> dict[str, Measured]:
        """Read what there is of the services that shall be, this one's from memory."""
        read = (
            files_of_meters.read(Path(self.directory) / f"{service}.json")
            for service in self.services
        )
        found = {each.service: each for each in read if each is not None}
        return found | {self.own.service: self.own.measured()}

    def _age(self, one: Measured) -> float:
        # Nobody writes in the future: that is a file of before this machine was started anew.
        age = self.monotonic() - one.written
        return age if age >= 0 else float(SILENT_SECONDS + 1)

    def _lives(self, one: Measured) -> bool:
        return self._age(one) <= SILENT_SECONDS


def run(platform: RealPlatform) -> None:
    """Offer the pages where the settings say, until told to stop."""
    settings = platform.settings
    there = settings.metrics()
    if there is None:
        raise CalicoError("the metrics service is off", hint="say where it shall be: --metrics")
    runtime = Runtime()
    runtime.stop_on_signals()
    meters = Meters(status.METRICS, settings.metrics_directory)
    report = ServiceReport(platform.store, platform.hostname, status.METRICS, meters)
    found = Pages(
        settings.metrics_directory,
        services(networking=settings.networking, docker_proxy=settings.docker_proxy() is not None),
        meters,
        platform.clock.monotonic,
    )
    runtime.listen("meters", meters.run)
    runtime.listen("report", report.run)
    runtime.listen("http", partial(_serve, there, found, report))
    for _ in runtime.batches():
        pass


def services(*, networking: bool, docker_proxy: bool) -> list[str]:
    """Return the services of a node that measure, beside this one."""
    return [
        status.FELIX,
        *([status.ROUTING] if networking else []),
        status.LIFECYCLE,
        *([status.DOCKER_PROXY] if docker_proxy else []),
    ]


def _serve(
    there: MetricsAddress, found: Pages, report: ServiceReport, post: Post, stopping: Stopping
) -> None:
    """Serve; while somebody else has the port, say so and wait for it."""
    del post
    told = ""
    while not stopping.is_set():
        try:
            listener = pages.listen(there.address, there.port)
        except CalicoError as error:
            trouble = f"cannot offer metrics: {error.message}"
            if isinstance(error, AlreadyExists):
                trouble += "; it is waited for"
            if trouble != told:
                log.warning("%s", trouble)
            told = trouble
            report.say(trouble=trouble)
            stopping.wait(_RETRY_SECONDS)
            continue
        with listener:
            log.info("offering metrics on http://%s/metrics", there)
            report.say()
            pages.serve(listener, found.answer, stopping)


def _verdict(reasons: Sequence[str]) -> Page:
    if reasons:
        return Page(503, "".join(f"{each}\n" for each in reasons))
    return Page(200, "ok\n")
