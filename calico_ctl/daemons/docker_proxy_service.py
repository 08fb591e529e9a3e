"""The Docker API proxy as a process: the listeners around it, and answers to what it asks.

client ──▶ docker_proxy ──▶ engine
               │ asks: may this be created? connect it, release it
               ▼
       HostContainers ──▶ workload.containers ──▶ etcd, kernel
               ▲
etcd ──▶ LocalEndpoints: what `docker inspect` shows
"""

import logging
from functools import partial

from calico_ctl.daemons import docker_proxy
from calico_ctl.daemons.docker_proxy import ProxySettings
from calico_ctl.daemons.host_containers import HostContainers
from calico_ctl.daemons.local_endpoints import LocalEndpoints
from calico_ctl.daemons.meters import Meters
from calico_ctl.daemons.runtime import Post, Runtime, Stopping
from calico_ctl.daemons.service_report import ServiceReport
from calico_ctl.datastore import status
from calico_ctl.errors import CalicoError
from calico_ctl.host import addresses
from calico_ctl.model import metric
from calico_ctl.wiring import RealPlatform

log = logging.getLogger(__name__)

_RETRY_SECONDS = 2.0


def run(platform: RealPlatform) -> None:
    """Offer the Docker API where the settings say, until told to stop."""
    proxy = platform.settings.docker_proxy()
    if proxy is None:
        raise CalicoError("the Docker API proxy is off", hint="say where it shall be")
    runtime = Runtime()
    runtime.stop_on_signals()
    known = LocalEndpoints(platform.store, platform.hostname)
    runtime.listen("etcd", known.run)
    meters = Meters(status.DOCKER_PROXY, platform.settings.metrics_directory)
    runtime.listen("meters", meters.run)
    report = ServiceReport(platform.store, platform.hostname, status.DOCKER_PROXY, meters)
    runtime.listen("report", report.run)
    settings = ProxySettings(
        host=proxy.host,
        port=proxy.port,
        certificate=proxy.tls.certificate if proxy.tls else None,
        key=proxy.tls.key if proxy.tls else None,
        ca=proxy.tls.ca if proxy.tls else None,
        engine_socket=platform.docker.address.removeprefix("unix://"),
        allowed_hosts=(platform.hostname, *(str(each.ip) for each in addresses.local())),
    )
    workloads = HostContainers(platform, known, meters)
    called = partial(meters.count, metric.CALLS)
    meters.count(metric.CALLS, by=0)
    runtime.listen("docker API", partial(_serve, settings, workloads, report, called))
    for _ in runtime.batches():
        pass


def _serve(
    settings: ProxySettings,
    workloads: HostContainers,
    report: ServiceReport,
    called: docker_proxy.Called,
    post: Post,
    stopping: Stopping,
) -> None:
    """Serve; while somebody else has the port, say so and wait for it."""
    del post
    while not stopping.is_set():
        try:
            docker_proxy.run(
                settings, workloads, stopping, lambda _host, _port: report.say(), called
            )
        except CalicoError as error:
            log.warning("%s", error.message)
            report.say(trouble=error.message)
            stopping.wait(_RETRY_SECONDS)
