"""Each question is asked of the workloads, in a thread that nobody has to wait for."""

import threading

import pytest

from calico_ctl.daemons import questions
from calico_ctl.errors import PoolExhausted
from calico_ctl.model.address import AnyAddress
from calico_ctl.model.endpoint import Endpoint
from calico_ctl.model.wish import Wish
from calico_ctl.proxy import events

WISH = Wish((AnyAddress.IPV4,))


class Noting:
    """Workloads that note what they are asked, and in which thread."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.threads: list[threading.Thread] = []

    def check(self, wish: Wish) -> None:
        self._note("check", wish)
        if wish.profiles:
            raise PoolExhausted("none is left")

    def reserve(self, container_id: str, wish: Wish) -> None:
        self._note("reserve", container_id, wish)

    def identify(self, name: str) -> str | None:
        self._note("identify", name)
        return "f00d"

    def wishes(self, name: str) -> bool:
        self._note("wishes", name)
        return True

    def connect(self, container: str) -> None:
        self._note("connect", container)

    def release(self, container_id: str) -> None:
        self._note("release", container_id)

    def endpoint(self, container_id: str) -> Endpoint | None:
        return None

    def _note(self, *asked: object) -> None:
        self.asked.append(asked)
        self.threads.append(threading.current_thread())


@pytest.mark.parametrize(
    ("question", "asked", "result"),
    [
        (events.Check(WISH), ("check", WISH), None),
        (events.Reserve("f00d", WISH), ("reserve", "f00d", WISH), None),
        (events.Identify("web"), ("identify", "web"), "f00d"),
        (events.Wishes("web"), ("wishes", "web"), True),
        (events.Connect("web"), ("connect", "web"), None),
        (events.Release("f00d"), ("release", "f00d"), None),
    ],
)
def test_each_question_is_asked_and_what_is_asked_about_a_name_has_a_result(
    question, asked, result
):
    workloads = Noting()
    assert questions.ask(workloads, question).result(60) == result
    assert workloads.asked == [asked]


def test_what_only_takes_long_is_computed():
    assert questions.ask(Noting(), events.Compute(lambda: 6 * 7)).result(60) == 42


def test_what_was_raised_comes_back():
    question = events.Check(Wish((AnyAddress.IPV4,), ("web",)))
    with pytest.raises(PoolExhausted, match="none is left"):
        questions.ask(Noting(), question).result(60)


def test_a_process_that_ends_does_not_wait_for_an_answer():
    workloads = Noting()
    questions.ask(workloads, events.Connect("web")).result(60)
    assert workloads.threads[0].daemon


def test_who_gives_up_waiting_disturbs_nobody():
    workloads = Noting()
    answered = questions.ask(workloads, events.Connect("web"))
    assert not answered.cancel()
    assert answered.result(60) is None
