"""The Docker API proxy as the process that runs in calico-node, with a real etcd and engine."""

import http.client
import socket
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import pytest

from calico_ctl.datastore import status
from calico_ctl.datastore.etcd import Etcd
from tests.support import command, images, ports
from tests.support.command import wait_until
from tests.support.etcd_server import EtcdServer

pytestmark = pytest.mark.integration

HOSTNAME = socket.gethostname()
PROGRAM = Path(__file__).resolve().parents[3] / "calicoctl.py"


@dataclass
class Service:
    """The process, and what it was told."""

    port: int
    store: Etcd
    process: Popen[bytes] | None = None

    def report(self) -> status.ServiceStatus | None:
        return status.read_service(self.store, HOSTNAME, status.DOCKER_PROXY)

    def trouble(self) -> str:
        report = self.report()
        return report.trouble if report else ""

    def answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        with suppress(OSError, http.client.HTTPException), closing(connection):
            connection.request("GET", "/_ping")
            return connection.getresponse().read() == b"OK"
        return False


@pytest.fixture
def server(tmp_path) -> Iterator[EtcdServer]:
    server = EtcdServer(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def service(tmp_path, server) -> Iterator[Service]:
    images.ensure(node_image=False)
    store = server.store()
    service = Service(ports.free()[0], store)
    yield service
    if service.process is not None:
        command.stop(service.process)
    store.close()


def start(service: Service, server: EtcdServer, directory: Path) -> None:
    environment = command.clean_environment(
        {
            "ETCD_AUTHORITY": f"127.0.0.1:{server.client_port}",
            "DOCKER_HOST": "unix:///var/run/docker.sock",
            "CALICO_DOCKER_PROXY": f"127.0.0.1:{service.port}",
            "CALICO_METRICS_DIRECTORY": str(directory / "metrics"),
        }
    )
    argv = [*command.DIES_WITH_US, sys.executable, str(PROGRAM), "daemon", "docker-proxy"]
    service.process = command.spawn(argv, directory / "proxy.log", environment)


def test_it_offers_the_api_and_reports_and_ends_when_told(service, server, tmp_path):
    start(service, server, tmp_path)
    wait_until(service.report, 20, "it reports")
    assert service.trouble() == ""
    assert service.answers()
    assert service.process is not None
    command.stop(service.process)
    assert service.process.returncode == 0


def test_a_port_that_somebody_has_is_told_and_waited_for(service, server, tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", service.port))
        other.listen()
        start(service, server, tmp_path)
        wait_until(service.trouble, 20, "its trouble is told")
        assert str(service.port) in service.trouble()
    wait_until(service.answers, 10, "it answers")
    wait_until(lambda: service.trouble() == "", 5, "the trouble is over")
