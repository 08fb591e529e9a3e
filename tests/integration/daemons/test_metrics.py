"""The metrics service as a process, beside a policy agent with a real etcd and kernel."""

import http.client
import re
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from calico_ctl.daemons.meters import Meters
from calico_ctl.datastore import config, status
from tests.support import command
from tests.support.agent_process import CHECKOUT, HOSTNAME, AgentHost, agent_host
from tests.support.command import wait_until

pytestmark = pytest.mark.integration

PORT = 9091
"""The default: the namespace is the test's own."""

PATIENCE = 30


@dataclass
class Service:
    """The process of the metrics service, and what it answers."""

    host: AgentHost
    process: Popen[bytes]

    @property
    def directory(self) -> str:
        """Where this host's services say what they measured."""
        return str(self.host.directory / "metrics")

    def ask(self, path: str) -> tuple[int, str]:
        """Status and text of a page; 0 if nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=PATIENCE)
        with suppress(OSError, http.client.HTTPException), closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        return 0, ""

    def value(self, name: str, **labels: str) -> float | None:
        """A value as an independent parser reads it."""
        _, text = self.ask("/metrics")
        for family in text_string_to_metric_families(text):
            for each in family.samples:
                if each.name == name and labels.items() <= each.labels.items():
                    return float(each.value)
        return None

    def log(self) -> str:
        """What it has said."""
        return (self.host.directory / "metrics.log").read_text()

    def trouble(self) -> str:
        """What it reports to etcd."""
        report = status.read_service(self.host.store, HOSTNAME, status.METRICS)
        return report.trouble if report else ""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[AgentHost]:
    with agent_host(tmp_path) as host:
        yield host
        assert "Traceback" not in host.log()


@pytest.fixture
def service(host: AgentHost) -> Iterator[Service]:
    service = Service(host, start(host))
    yield service
    command.stop(service.process)
    assert service.process.returncode == 0
    assert "Traceback" not in service.log()


def start(host: AgentHost) -> Popen[bytes]:
    environment = command.clean_environment(
        {
            "ETCD_AUTHORITY": f"127.0.0.1:{host.server.client_port}",
            "CALICO_NETWORKING": "false",
            "CALICO_DOCKER_PROXY": "off",
            "CALICO_METRICS_DIRECTORY": str(host.directory / "metrics"),
        }
    )
    argv = [*command.DIES_WITH_US, sys.executable, str(CHECKOUT / "calicoctl.py")]
    return command.spawn([*argv, "daemon", "metrics"], host.directory / "metrics.log", environment)


def test_what_the_agent_did_is_read_by_prometheus_and_its_health_by_probes(
    host: AgentHost, service: Service
) -> None:
    # No life-cycle service runs here, so that it is missed until it seems to be there.
    missing = (503, "lifecycle: it has measured nothing yet\n")
    wait_until(lambda: service.ask("/healthz") == missing, PATIENCE, "it misses a service")
    lifecycle = Meters(status.LIFECYCLE, service.directory)
    lifecycle.say("")

    def is_ready() -> bool:
        lifecycle.write()
        return service.ask("/readyz") == (200, "ok\n")

    wait_until(is_ready, PATIENCE, "it is ready")
    assert service.ask("/healthz") == (200, "ok\n")

    host.write_rules("web", [{"dst_ports": [80]}], [{}])
    host.plug("web", "192.168.1.1", profiles=("web",))
    wait_until(
        lambda: service.value("calico_felix_endpoints") == 1, PATIENCE, "the endpoint is counted"
    )
    assert (service.value("calico_felix_update_seconds_count") or 0) >= 1
    assert service.value("calico_felix_in_sync") == 1
    assert service.value("calico_felix_etcd_connected") == 1
    assert service.value("calico_service_up", service="felix") == 1
    memory = service.value("calico_service_resident_memory_bytes", service="felix")
    assert memory is not None
    assert memory > 1_000_000

    host.store.put("/calico/Ready", "false")
    wait_until(lambda: "felix: /calico/Ready" in service.ask("/readyz")[1], PATIENCE, "the reason")
    assert service.value("calico_service_trouble", service="felix") == 1


def test_a_port_that_somebody_has_is_told_and_waited_for(host: AgentHost) -> None:
    with socket.create_server(("127.0.0.1", PORT)):
        service = Service(host, start(host))
        wait_until(service.trouble, PATIENCE, "its trouble is told")
        assert f"something else listens on 127.0.0.1:{PORT}" in service.trouble()
        assert service.process.poll() is None
    wait_until(lambda: service.ask("/")[0] == 200, PATIENCE, "it answers")
    wait_until(lambda: service.trouble() == "", PATIENCE, "nothing is wrong any more")
    command.stop(service.process, signal.SIGTERM)
    assert service.process.returncode == 0
    assert "Traceback" not in service.log()


def test_the_agent_logs_as_the_setting_says_at_once(host: AgentHost) -> None:
    config.set(host.store, "LogSeverityScreen", "debug")
    wait_until(lambda: "logging from debug on" in host.log(), PATIENCE, "it logs more")
    host.write_rules("web", [{"dst_ports": [80]}], [{}])
    read = r"DEBUG \S+: read of etcd, revision \d+: /calico/policy/profile/web/rules was written\n"
    wait_until(lambda: re.search(read, host.log()), PATIENCE, "it says what it reads")
    config.set(host.store, "LogSeverityScreen", "error")
    set_ready(host, "false")
    assert "is not true in etcd" not in host.log()
    config.set(host.store, "LogSeverityScreen", "info")
    set_ready(host, "true")
    set_ready(host, "false")
    wait_until(lambda: "is not true in etcd" in host.log(), PATIENCE, "it logs again")


def set_ready(host: AgentHost, value: str) -> None:
    """Have the agent in trouble or not, and wait until it says so."""

    def is_seen() -> bool:
        report = host.report()
        return report is not None and (report.trouble == "") == (value == "true")

    host.store.put("/calico/Ready", value)
    wait_until(is_seen, PATIENCE, f"/calico/Ready is {value} to the agent")
