"""What a service measures, and what of it is in its file."""

import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from calico_ctl.daemons import meters as files
from calico_ctl.daemons.meters import Meters
from calico_ctl.model import metric
from calico_ctl.model.measured import Distribution
from tests.support.command import wait_until


def value(meters: Meters, name: str, *labels: str) -> object:
    (found,) = [
        each.value
        for each in meters.measured().samples
        if each.metric.name == name and each.labels == labels
    ]
    return found


def test_counters_add_up_and_gauges_are_what_was_said_last() -> None:
    meters = Meters("felix")
    meters.count(metric.REPAIRS, "table")
    meters.count(metric.REPAIRS, "table", by=2)
    meters.count(metric.REPAIRS, "host")
    meters.set(metric.ENDPOINTS, 5)
    meters.set(metric.ENDPOINTS, 4)
    assert value(meters, "calico_felix_repairs_total", "table") == 3
    assert value(meters, "calico_felix_repairs_total", "host") == 1
    assert value(meters, "calico_felix_endpoints") == 4


def test_a_value_at_the_bound_of_a_bucket_is_in_it() -> None:
    meters = Meters("felix")
    for seconds in (0.0, 0.001, 0.0011, 99.0):
        meters.observe(metric.UPDATE, seconds)
    found = value(meters, "calico_felix_update_seconds")
    assert isinstance(found, Distribution)
    assert found.counts[:2] == (2, 1)
    assert found.counts[-1] == 1
    assert sum(found.counts) == 4
    assert round(found.total, 4) == 99.0021


def test_many_threads_lose_nothing() -> None:
    meters = Meters("docker-proxy")

    def work() -> None:
        for _ in range(1000):
            meters.count(metric.QUESTIONS, "check", "done")
            meters.observe(metric.ATTACH, 0.1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert value(meters, "calico_docker_proxy_questions_total", "check", "done") == 4000
    attached = value(meters, "calico_attach_seconds")
    assert isinstance(attached, Distribution)
    assert sum(attached.counts) == 4000


def test_the_file_says_it_and_the_next_life_knows_that_it_is_not_the_first(tmp_path: Path) -> None:
    directory = str(tmp_path / "metrics")
    first = Meters("felix", directory, lambda: 17.5)
    first.set(metric.ENDPOINTS, 3)
    first.say("no space")
    first.write()
    found = files.read(Path(directory) / "felix.json")
    assert found is not None
    assert (found.service, found.written, found.restarts) == ("felix", 17.5, 0)
    assert found.trouble == "no space"
    second = Meters("felix", directory)
    assert second.restarts == 1
    second.write()
    assert Meters("felix", directory).restarts == 2
    assert Meters("routing", directory).restarts == 0
    assert [each.name for each in Path(directory).iterdir()] == ["felix.json"]


def test_a_file_that_makes_no_sense_is_none_and_hinders_nobody(tmp_path: Path) -> None:
    path = tmp_path / "felix.json"
    for content in (b"", b"{", b"\xff", json.dumps({"service": 1}).encode()):
        path.write_bytes(content)
        assert files.read(path) is None
        assert Meters("felix", str(tmp_path)).restarts == 0
    assert files.read(tmp_path / "nosuch.json") is None
    assert files.read(tmp_path) is None


def test_trouble_of_a_part_is_trouble_and_nothing_is_known_before_the_first_word() -> None:
    meters = Meters("felix")
    assert meters.measured().trouble is None
    meters.say("etcd is away", "etcd")
    assert meters.measured().trouble is None
    meters.say("")
    assert meters.measured().trouble == "etcd is away"
    meters.say("no space")
    assert meters.measured().trouble == "etcd is away; no space"
    meters.say("", "etcd")
    meters.say("")
    assert meters.measured().trouble == ""


def run_until(meters: Meters, condition: Callable[[], object], what: str) -> None:
    stopping = threading.Event()
    thread = threading.Thread(target=meters.run, args=(lambda _: None, stopping))
    thread.start()
    try:
        wait_until(condition, 30, what)
    finally:
        stopping.set()
        thread.join(30)
    assert not thread.is_alive()


def test_its_thread_writes_at_once_and_counts_what_is_logged(tmp_path: Path) -> None:
    path = tmp_path / "felix.json"
    meters = Meters("felix", str(tmp_path))
    handlers = list(logging.getLogger().handlers)

    def warned() -> bool:
        return path.exists() and len(logging.getLogger().handlers) > len(handlers)

    run_until(meters, warned, "the file is there")
    logger = logging.getLogger("some.module")
    # As if its thread still ran.
    counting = files._CountingHandler(meters)
    logger.addHandler(counting)
    try:
        logger.warning("a warning")
        logger.error("an error")
        logger.critical("another")
    finally:
        logger.removeHandler(counting)
    assert value(meters, "calico_service_log_lines_total", "warning") == 1
    assert value(meters, "calico_service_log_lines_total", "error") == 2
    assert logging.getLogger().handlers == handlers


def test_a_directory_that_takes_nothing_is_logged_and_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    meters = Meters("felix", str(tmp_path / "file" / "below"))
    run_until(meters, lambda: caplog.messages, "it is logged")
    assert caplog.messages[0].startswith("cannot say what was measured: ")


def test_memory_is_measured() -> None:
    found = value(Meters("felix"), "calico_service_resident_memory_bytes")
    assert isinstance(found, int)
    assert found > 1_000_000


def test_who_is_asked_measures_before_anything_is_written(tmp_path: Path) -> None:
    meters = Meters("felix", str(tmp_path))
    meters.ask(lambda: meters.set(metric.ENDPOINTS, 9))
    meters.write()
    found = files.read(tmp_path / "felix.json")
    assert found is not None
    assert [each.value for each in found.samples if each.metric is metric.ENDPOINTS] == [9]
