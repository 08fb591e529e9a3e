"""Against a real engine; every container made here has a name of its own and is gone afterwards."""

import gc
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from calico_ctl.docker_api import client
from calico_ctl.docker_api.client import Engine, Outcome
from calico_ctl.docker_api.request import ContainerRequest
from calico_ctl.errors import Conflict, DeadlineExceeded, DockerError, DockerUnavailable, NotFound
from tests.support import images, ports
from tests.support.command import PACE

NAME = "calico-test-engine"
NO_IMAGE = "calico/no-such-image:1"


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    images.ensure(node_image=False)
    engine = Engine()
    yield engine
    engine.close()


@pytest.fixture(autouse=True)
def _nothing_left(engine: Engine) -> Iterator[None]:
    engine.stop_and_remove(NAME)
    yield
    engine.stop_and_remove(NAME)


def asking(script: str) -> ContainerRequest:
    host_config = {"NetworkMode": "none"}
    command = ["sh", "-c", script]
    body = {"Image": images.BUSYBOX, "Cmd": command, "HostConfig": host_config}
    return ContainerRequest(NAME, body)


# It ends at once when asked to: a shell alone, as process 1, would ignore SIGTERM.
RUNS = asking("trap 'exit 0' TERM; while :; do sleep 0.1; done")


def test_a_running_container_has_a_process_and_a_stopped_one_has_none(engine):
    engine.ensure(RUNS)
    running = engine.container(NAME)
    assert (running.name, running.running, running.network_mode) == (NAME, True, "none")
    assert running.pid > 0
    assert engine.container(running.id[:12]) == running
    engine.run_to_end(asking("exit 0"))
    with pytest.raises(NotFound):
        engine.container(NAME)


def test_a_prefix_of_two_ids_is_a_conflict(engine):
    # Ids are hex: among 17 containers, two begin alike.
    names = [f"{NAME}-{number}" for number in range(17)]
    try:
        firsts: Counter[str] = Counter()
        for name in names:
            engine.ensure(replace(RUNS, name=name))
            firsts[engine.container(name).id[0]] += 1
            if firsts.most_common(1)[0][1] > 1:
                break
        with pytest.raises(Conflict):
            engine.container(firsts.most_common(1)[0][0])
    finally:
        for name in names:
            engine.stop_and_remove(name)


# docker-py leaves a socket that cannot connect to the garbage collector, which grumbles.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_engine_that_is_not_there_is_named():
    with pytest.raises(DockerUnavailable, match=r"no-such\.sock: it is not running"):
        Engine({"DOCKER_HOST": "unix:///run/no-such.sock"}).container("web")
    gc.collect()


def test_the_same_request_again_changes_nothing(engine):
    assert engine.ensure(RUNS) is Outcome.CREATED
    before = engine.container(NAME)
    assert engine.ensure(RUNS) is Outcome.UNCHANGED
    assert engine.container(NAME) == before


def test_another_request_replaces_the_container(engine):
    engine.ensure(RUNS)
    before = engine.container(NAME)
    other = replace(RUNS, body={**RUNS.body, "Env": ["COLOUR=blue"]})
    assert engine.ensure(other) is Outcome.REPLACED
    assert engine.container(NAME).id != before.id


def test_a_container_that_was_stopped_is_started_again(engine):
    ends = asking("exit 0")
    engine.ensure(ends)
    deadline = time.monotonic() + 5 * PACE
    while engine.is_running(NAME) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert engine.ensure(ends) is Outcome.STARTED


def test_a_container_is_stopped_in_an_orderly_way(engine):
    engine.ensure(RUNS)
    started = time.monotonic()
    assert engine.stop_and_remove(NAME)
    assert time.monotonic() - started < 9
    assert not engine.stop_and_remove(NAME)
    assert not engine.is_running(NAME)


def test_a_container_that_runs_to_its_end_gives_what_it_printed(engine):
    printed = engine.run_to_end(asking("echo one; echo two >&2"))
    # Two streams: their order is not kept.
    assert sorted(printed.splitlines()) == ["one", "two"]


def test_a_container_that_fails_is_an_error_with_its_last_lines(engine):
    with pytest.raises(DockerError, match="failed: it broke; hint: mend it"):
        engine.run_to_end(asking("echo it broke; echo hint: mend it; exit 3"))
    with pytest.raises(NotFound):
        engine.container(NAME)


def test_waiting_ends_with_the_containers_last_line(engine):
    engine.ensure(asking("trap 'exit 0' TERM; echo thinking; sleep 1"))
    with pytest.raises(DeadlineExceeded, match=r"not ready after 0\.3 s \(thinking\)"):
        engine.wait_until(NAME, lambda: False, time.sleep, 0.3)


def test_output_is_followed_until_the_container_ends(engine):
    engine.ensure(asking("sleep 0.5; echo late"))
    assert "".join(engine.follow_output(NAME)) == "late\n"


def test_an_image_that_is_not_there_is_not_found(engine):
    assert engine.image_id(NO_IMAGE) is None
    with pytest.raises(NotFound):
        engine.ensure(replace(RUNS, body={**RUNS.body, "Image": NO_IMAGE}))


def test_an_image_that_starts_nothing_by_itself_has_no_entry_point(engine):
    assert engine.entrypoint(images.BUSYBOX) == ()
    with pytest.raises(NotFound):
        engine.entrypoint(NO_IMAGE)


def test_a_registry_that_is_away_is_named_with_what_the_engine_says(engine):
    (port,) = ports.free()
    with pytest.raises(DockerError, match=rf"^cannot pull (127.*:{port}/a:1): .*refused") as caught:
        list(engine.pull(f"127.0.0.1:{port}/a:1"))
    assert "Docker Engine" not in caught.value.message


def test_the_image_of_a_container_is_known_by_name(engine):
    assert engine.image_of(NAME) is None
    engine.ensure(RUNS)
    assert engine.image_of(NAME) == images.BUSYBOX


def test_a_container_of_ours_is_described_in_dockers_words_with_its_variables(engine):
    assert engine.own_container(NAME) is None
    engine.ensure(replace(RUNS, body={**RUNS.body, "Env": ["COLOUR=blue", "SUM=1+1=2"]}))
    # another one whose name only contains this one
    other = replace(RUNS, name=f"{NAME}-2")
    engine.ensure(other)
    try:
        found = engine.own_container(NAME)
    finally:
        engine.stop_and_remove(other.name)
    assert found.running
    assert found.description.startswith("Up ")
    assert found.environment.items() >= {"COLOUR": "blue", "SUM": "1+1=2"}.items()


def test_a_container_of_ours_that_ended_does_not_run(engine):
    engine.ensure(asking("exit 3"))
    deadline = time.monotonic() + 5 * PACE
    while engine.is_running(NAME) and time.monotonic() < deadline:
        time.sleep(0.05)
    found = engine.own_container(NAME)
    assert not found.running
    assert found.description.startswith("Exited (3)")


def test_a_program_in_a_container_gives_what_it_printed(engine):
    engine.ensure(RUNS)
    assert engine.execute(NAME, ["echo", "two words"]) == "two words\n"
    assert engine.execute(NAME, ["true"]) == ""


def test_a_program_that_fails_is_an_error_with_its_last_lines(engine):
    engine.ensure(RUNS)
    with pytest.raises(
        DockerError, match=rf"`sh -c 'echo .*'` in container {NAME} failed: it broke"
    ):
        engine.execute(NAME, ["sh", "-c", "echo it broke >&2; exit 3"])
    with pytest.raises(DockerError, match="no-such-program"):
        engine.execute(NAME, ["no-such-program"])


def test_what_the_engine_loses_is_asked_for_again(engine, monkeypatch):
    engine.ensure(RUNS)
    asked, lost = engine._api.exec_start, []

    def losing(made: str) -> bytes:
        printed: bytes = asked(made)
        lost.append(printed)
        return b"" if len(lost) < 5 else printed

    monkeypatch.setattr(engine._api, "exec_start", losing)
    assert engine.execute(NAME, ["echo", "here"]) == "here\n"
    lost.clear()
    monkeypatch.setattr(engine._api, "exec_start", lambda made: asked(made)[:3])
    with pytest.raises(DockerError, match="Docker lost what `echo here` in container"):
        engine.execute(NAME, ["echo", "here"])


def test_a_program_that_does_not_end_is_ended(engine, monkeypatch):
    monkeypatch.setattr(client, "_SECONDS_TO_EXECUTE", 1)
    engine.ensure(RUNS)
    began = time.monotonic()
    with pytest.raises(DockerError, match=r"`sleep 60` in container .* failed: "):
        engine.execute(NAME, ["sleep", "60"])
    assert time.monotonic() - began < 50


def test_nothing_runs_in_a_container_that_does_not(engine):
    with pytest.raises(NotFound):
        engine.execute(NAME, ["true"])
    engine.ensure(asking("sleep 0.1"))
    deadline = time.monotonic() + 5 * PACE
    while engine.is_running(NAME) and time.monotonic() < deadline:
        time.sleep(0.05)
    with pytest.raises(DockerError, match="is not running"):
        engine.execute(NAME, ["true"])


def test_what_a_container_wishes_is_in_its_environment(engine):
    body = dict(RUNS.body) | {"Env": ["CALICO_IP=auto"], "Hostname": "www", "Domainname": "a.org"}
    engine.ensure(ContainerRequest(NAME, body))
    found = engine.container(NAME)
    assert "CALICO_IP=auto" in found.environment
    assert (found.hostname, found.domain) == ("www", "a.org")
    assert found.hosts_path.endswith(f"{found.id}/hosts")


def test_events_tell_of_the_life_of_a_container(engine):
    events = engine.container_events()
    engine.ensure(RUNS)
    made = engine.container(NAME)
    assert made.id in engine.container_ids()
    engine.kill(made.id)
    engine.kill(made.id)
    assert not engine.container(NAME).running
    engine.remove(made.id)
    engine.remove(made.id)
    assert made.id not in engine.container_ids()
    seen: list[str] = []
    for event in events:
        if event.id == made.id:
            seen.append(event.action)
        if event.action == "destroy":
            break
    assert [action for action in seen if action in {"start", "die", "destroy"}] == [
        "start",
        "die",
        "destroy",
    ]


def test_a_container_that_was_killed_is_not_started_by_its_restart_policy(engine):
    host_config = {"NetworkMode": "none", "RestartPolicy": {"Name": "always"}}
    engine.ensure(ContainerRequest(NAME, dict(RUNS.body) | {"HostConfig": host_config}))
    made = engine.container(NAME)
    engine.kill(made.id)
    assert not engine.container(made.id).running
