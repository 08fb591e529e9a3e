import socket

import pytest

from calico_ctl import settings
from calico_ctl.errors import InvalidValue, NotFound
from calico_ctl.host import local_answers, node_name
from calico_ctl.wiring import RealPlatform


def test_the_hosts_name_is_the_kernels_and_not_the_shells(monkeypatch) -> None:
    monkeypatch.setenv("HOSTNAME", "somebody-exported-this")
    assert RealPlatform(settings.read()).hostname == socket.gethostname()


def test_the_hosts_name_is_the_one_that_was_written_down() -> None:
    node_name.keep("host1")
    assert RealPlatform(settings.read()).hostname == "host1"


def test_the_store_is_where_the_environment_says() -> None:
    platform = RealPlatform(settings.read({"ETCD_AUTHORITY": "[fd80::1]:2379"}))
    assert platform.store.address == "[fd80::1]:2379"
    assert platform.store is platform.store


def test_a_bad_authority_is_nobodys_trouble_before_the_store_is_needed() -> None:
    platform = RealPlatform(settings.read({"ETCD_AUTHORITY": ""}))
    assert platform.hostname
    with pytest.raises(InvalidValue, match="ETCD_AUTHORITY"):
        _ = platform.store


def test_the_engine_is_the_one_that_the_environment_names() -> None:
    platform = RealPlatform(settings.read({"DOCKER_HOST": "localhost:2377"}))
    assert "localhost:2377" in platform.docker.address


def test_time_goes_on() -> None:
    clock = RealPlatform(settings.read({})).clock
    before = clock.monotonic()
    clock.sleep(0.01)
    assert clock.monotonic() > before


def test_the_network_is_the_kernels() -> None:
    assert type(RealPlatform(settings.read({})).network).__name__ == "KernelNetwork"


def test_what_was_counted_is_asked_of_the_kernel() -> None:
    assert type(RealPlatform(settings.read({})).counters).__name__ == "KernelCounters"


def test_the_agent_is_asked_where_it_answers(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(local_answers, "AGENT_REPORT", tmp_path / "felix-report.sock")
    with pytest.raises(NotFound, match="no process answers at"):
        RealPlatform(settings.read({})).agent_report()
