"""Each question is asked of the workloads, in threads that nobody has to wait for."""

import threading
from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from calico_ctl import wiring
from calico_ctl.daemons import questions
from calico_ctl.daemons.questions import Questions
from calico_ctl.errors import DockerUnavailable, PoolExhausted
from calico_ctl.model.address import AnyAddress
from calico_ctl.model.endpoint import Endpoint
from calico_ctl.model.wish import Wish
from calico_ctl.proxy import events
from calico_ctl.proxy.conversation import CREATE_LIMIT
from calico_ctl.proxy.events import Question
from calico_ctl.workload.containers import CONNECT_SECONDS

WISH = Wish((AnyAddress.IPV4,))
PATIENCE = 60.0


class Noting:
    """Workloads that note what they are asked; `connect` and `reserve` wait until they may end."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.seconds: list[float] = []
        self.may_end = threading.Event()
        self.may_end.set()
        self.begun = threading.Semaphore(0)
        self.undone = threading.Event()
        self.error: Exception | None = None

    def check(self, wish: Wish) -> None:
        self.asked.append(("check", wish))
        if wish.profiles:
            raise PoolExhausted("none is left")

    def reserve(self, container_id: str, wish: Wish) -> None:
        self.asked.append(("reserve", container_id, wish))
        self._wait()
        if self.error:
            raise self.error

    def identify(self, name: str) -> str | None:
        self.asked.append(("identify", name))
        return "f00d"

    def wishes(self, name: str) -> bool:
        self.asked.append(("wishes", name))
        return True

    def await_agent(self, container_id: str, seconds: float, *, unless_running: bool) -> None:
        self.asked.append(("await_agent", container_id, unless_running))
        self.seconds.append(seconds)
        self._wait()

    def connect(self, container: str, seconds: float) -> None:
        self.asked.append(("connect", container))
        self.seconds.append(seconds)
        self._wait()

    def release(self, container_id: str) -> None:
        self.asked.append(("release", container_id))

    def stop(self, container_id: str) -> None:
        self.asked.append(("stop", container_id))
        if self.error:
            raise self.error

    def remove(self, container_id: str) -> None:
        self.asked.append(("remove", container_id))
        self.undone.set()

    def endpoint(self, container_id: str) -> Endpoint | None:
        return None

    def _wait(self) -> None:
        self.begun.release()
        assert self.may_end.wait(PATIENCE)


@pytest.fixture
def workloads() -> Noting:
    return Noting()


@pytest.fixture
def asking(workloads) -> Questions:
    return Questions(workloads)


@pytest.mark.parametrize(
    ("question", "asked", "result"),
    [
        (events.Check(WISH), ("check", WISH), None),
        (events.Reserve("f00d", WISH), ("reserve", "f00d", WISH), None),
        (events.Identify("web"), ("identify", "web"), "f00d"),
        (events.Wishes("web"), ("wishes", "web"), True),
        (events.AwaitAgent("f00d", True), ("await_agent", "f00d", True), None),
        (events.Connect("f00d"), ("connect", "f00d"), None),
        (events.Release("f00d"), ("release", "f00d"), None),
    ],
)
def test_each_question_is_asked_and_what_is_asked_about_a_name_has_a_result(
    workloads, asking, question, asked, result
):
    assert asking.ask(question).result(PATIENCE) == result
    assert workloads.asked == [asked]


def test_what_only_takes_long_is_computed(asking):
    assert asking.ask(events.Compute(lambda: 6 * 7)).result(PATIENCE) == 42


def test_what_was_raised_comes_back(asking):
    question = events.Check(Wish((AnyAddress.IPV4,), ("web",)))
    with pytest.raises(PoolExhausted, match="none is left"):
        asking.ask(question).result(PATIENCE)


@pytest.mark.parametrize(
    ("question", "seconds"),
    [
        (events.Connect("f00d"), CONNECT_SECONDS),
        (events.AwaitAgent("f00d", True), questions.AGENT_SECONDS),
    ],
)
def test_who_had_to_wait_for_a_turn_has_the_less_time_for_the_agent(
    workloads, asking, monkeypatch, question, seconds
):
    now = [100.0]
    monkeypatch.setattr(questions, "time", SimpleNamespace(monotonic=lambda: now[0]))
    workloads.may_end.clear()
    for _ in range(questions.QUESTION_LIMIT):
        asking.ask(question)
        assert workloads.begun.acquire(timeout=PATIENCE)
    waiting = asking.ask(question)
    now[0] += seconds + 3
    workloads.may_end.set()
    waiting.result(PATIENCE)
    assert workloads.seconds == [seconds] * questions.QUESTION_LIMIT + [-3.0]


def test_whether_the_agent_is_there_is_found_out_however_many_wait_for_what_it_does(
    workloads, asking
):
    workloads.may_end.clear()
    connects = [asking.ask(events.Connect("f00d")) for _ in range(questions.QUESTION_LIMIT + 1)]
    for _ in range(questions.QUESTION_LIMIT):
        assert workloads.begun.acquire(timeout=PATIENCE)
    waiting = asking.ask(events.AwaitAgent("f00d", False))
    assert workloads.begun.acquire(timeout=PATIENCE)
    assert ("await_agent", "f00d", False) in workloads.asked
    assert not any(each.done() for each in connects)
    workloads.may_end.set()
    waiting.result(PATIENCE)


def test_what_asks_etcd_or_the_agent_is_answered_within_ten_seconds():
    assert questions.ANSWER_SECONDS + questions.UNDO_SECONDS < 10
    assert CONNECT_SECONDS < questions.ANSWER_SECONDS
    # Once more asked at the last moment, one that hangs takes that much longer.
    assert questions.AGENT_SECONDS + wiring._SECONDS_FOR_THE_AGENT < questions.ANSWER_SECONDS
    limited: list[Question] = [
        events.Check(WISH),
        events.AwaitAgent("f00d", True),
        events.Connect("f00d"),
        events.Hold(1),
    ]
    unlimited: list[Question] = [events.Identify("web"), events.Compute(int)]
    assert {questions.seconds(each) for each in limited} == {questions.ANSWER_SECONDS}
    assert {questions.seconds(each) for each in unlimited} == {None}


def given_up(workloads: Noting, asking: Questions, question: Question) -> "Future[object]":
    """Ask something that hangs, and give it up; return what was given up."""
    workloads.may_end.clear()
    asked = asking.ask(question)
    assert workloads.begun.acquire(timeout=PATIENCE)
    asking.give_up(question, asked).result(PATIENCE)
    return asked


@pytest.mark.parametrize("error", [None, DockerUnavailable("Docker is away")])
def test_a_container_that_is_not_connected_in_time_is_stopped(workloads, asking, error):
    workloads.error = error
    asked = given_up(workloads, asking, events.Connect("f00d"))
    assert workloads.asked == [("connect", "f00d"), ("stop", "f00d")]
    workloads.may_end.set()
    assert asked.result(PATIENCE) is None, "it is taken though nobody waits for it"
    message = questions.too_late(events.Connect("f00d")).message
    assert "f00d is being stopped" in message
    assert "the policy agent or etcd" in message


def test_a_container_that_was_not_started_is_left_alone(workloads, asking):
    given_up(workloads, asking, events.AwaitAgent("f00d", True))
    workloads.may_end.set()
    assert workloads.asked == [("await_agent", "f00d", True)]
    message = questions.too_late(events.AwaitAgent("f00d", True)).message
    assert "f00d is left as it is" in message
    assert "the policy agent" in message


@pytest.mark.parametrize("error", [None, PoolExhausted("none is left")])
def test_a_container_that_is_reserved_for_too_late_is_removed_afterwards(workloads, asking, error):
    workloads.error = error
    given_up(workloads, asking, events.Reserve("f00d", WISH))
    assert ("remove", "f00d") not in workloads.asked
    workloads.may_end.set()
    assert workloads.undone.wait(PATIENCE)
    assert workloads.asked == [("reserve", "f00d", WISH), ("remove", "f00d")]


def test_the_largest_request_finds_room_and_room_that_comes_too_late_is_given_back(asking):
    assert questions.HOLD_LIMIT >= CREATE_LIMIT
    first, second = events.Hold(questions.HOLD_LIMIT), events.Hold(1)
    assert asking.ask(first).done()
    late, waiting = asking.ask(first), asking.ask(second)
    asking.give_up(first, late)
    assert not waiting.done()
    asking.free(first.size)
    assert waiting.done()
    granted = asking.ask(events.Hold(2))
    asking.give_up(events.Hold(2), granted)
    assert asking.ask(events.Hold(questions.HOLD_LIMIT - 1)).done()
