"""What the Docker API proxy asks about containers: who answers, when, and for how long at most.

An answer takes its time, and the proxy has one thread for all its connections: so questions are
answered in other threads. What may hang is waited for in a lane of its own (the agent, etcd, the
engine): one that hangs uses up its own threads and holds up nobody who asks another.

A time limit counts from when the question is asked, waiting for a turn included. When it is over,
what the question was for is taken back, because its client is told that it failed.
"""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Protocol

from calico_ctl.daemons.lanes import Lane
from calico_ctl.daemons.room import Room
from calico_ctl.errors import CalicoError, DeadlineExceeded
from calico_ctl.model.endpoint import Endpoint
from calico_ctl.model.wish import Wish
from calico_ctl.proxy import events
from calico_ctl.proxy.events import Question
from calico_ctl.workload.containers import CONNECT_SECONDS

log = logging.getLogger(__name__)

QUESTION_LIMIT = 64
"""Questions that are being answered at a time in one lane; others wait for their turn."""

COMPUTE_LIMIT = 2
"""More would not be faster, and each may need 300 MB: 16 MB of JSON, and many values in it."""

HOLD_LIMIT = 64 * 1024 * 1024
"""Bytes of long request bodies that all connections together hold at a time."""

ANSWER_SECONDS = CONNECT_SECONDS + 1.0
"""How long a question about etcd or the agent, or for room, may take."""

AGENT_SECONDS = 6.0
"""How long a start waits for an agent that is not there, before anything is started.

One that only restarts is back long before. What is left of ten seconds is for a slow machine.
"""

UNDO_LIMIT = 16
"""Containers that are stopped or removed at a time, when what was asked about them is given up."""

UNDO_SECONDS = 0.5
"""How long a client is kept waiting besides until its container is stopped again."""


class Workloads(Protocol):
    """What the proxy asks about containers. All but `endpoint` may block; errors: CalicoError."""

    def check(self, wish: Wish) -> None:
        """Return if a container with this wish may be created, raise if not."""

    def reserve(self, container_id: str, wish: Wish) -> None:
        """Reserve the wished addresses; on failure remove the container again and raise."""

    def identify(self, name: str) -> str | None:
        """Return the full id of the container if it has to do with Calico. Asks only the engine."""

    def wishes(self, name: str) -> bool:
        """Say whether the container has a network of ours in the place of Docker's.

        Asks only the engine.
        """

    def await_agent(self, container_id: str, seconds: float, *, unless_running: bool) -> None:
        """Return if the agent is there, at the latest after so many seconds; raise if it is not.

        With `unless_running` return in any case if the container runs.
        """

    def connect(self, container: str, seconds: float) -> None:
        """Wait until its network works, at most so many seconds for the agent (0 or less: none).

        On failure stop it again and raise.
        """

    def release(self, container_id: str) -> None:
        """Release everything of a container that was removed."""

    def stop(self, container_id: str) -> None:
        """Stop a container at once, if it runs."""

    def remove(self, container_id: str) -> None:
        """Remove a container, if it is there."""

    def endpoint(self, container_id: str) -> Endpoint | None:
        """Return the endpoint of the container with that full id, from memory, in any thread."""


class Questions:
    """The lanes, and the room that is shared. For the proxy's thread only."""

    def __init__(self, workloads: Workloads) -> None:
        """Have these workloads answer."""
        self._workloads = workloads
        self._agent, self._etcd, self._engine = (Lane(QUESTION_LIMIT) for _ in range(3))
        # Apart: whether the agent is there is told at once, whoever waits for what it does.
        self._agent_away = Lane(QUESTION_LIMIT)
        self._computing = Lane(COMPUTE_LIMIT)
        self._undoing = Lane(UNDO_LIMIT)
        self._room = Room(HOLD_LIMIT)

    def ask(self, question: Question) -> "Future[object]":
        """Have a question answered: the future gets what `Done` shall tell, or what was raised."""
        match question:
            case events.Hold(size):
                return self._room.take(size)
            case events.Compute(work):
                return self._computing.submit(work)
            case events.AwaitAgent():
                lane = self._agent_away
            case events.Connect():
                lane = self._agent
            case events.Identify() | events.Wishes():
                lane = self._engine
            case _:
                lane = self._etcd
        return lane.submit(partial(_answer, self._workloads, question, time.monotonic()))

    def give_up(self, question: Question, asked: "Future[object]") -> "Future[object]":
        """Take back what a question was for whose time is over; the future ends with that."""
        asked.cancel()
        match question:
            case events.Connect(container_id):
                # Whoever is at it finds that it does not run.
                return self._undo(partial(self._workloads.stop, container_id))
            case events.Reserve(container_id):
                return self._remove_after(asked, container_id)
            case events.Hold(size) if not asked.cancelled():
                self._room.give_back(size)
        return _nothing_to_do()

    def free(self, size: int) -> None:
        """Give back what was held."""
        self._room.give_back(size)

    def _remove_after(self, asked: "Future[object]", container_id: str) -> "Future[object]":
        """Remove a container once nothing is reserved for it any more, so that all is released."""

        def remove(_asked: "Future[object]") -> None:
            self._undo(partial(self._workloads.remove, container_id))

        asked.add_done_callback(remove)
        return _nothing_to_do()

    def _undo(self, work: Callable[[], None]) -> "Future[object]":
        return self._undoing.submit(partial(_undo, work))


def seconds(question: Question) -> float | None:
    """Return how long a question may take; None if what it waits for has limits of its own."""
    has_own = isinstance(question, events.Identify | events.Wishes | events.Compute)
    return None if has_own else ANSWER_SECONDS


def too_late(question: Question) -> DeadlineExceeded:
    """Return what to tell of a question whose time is over."""
    limit = f"{ANSWER_SECONDS:g} seconds"
    match question:
        case events.Connect(container_id):
            return DeadlineExceeded(
                f"container {container_id[:12]} is being stopped: it had no network after {limit},"
                " the policy agent or etcd does not answer",
                hint="`calicoctl status` shows which; `calicoctl node` starts the agent",
            )
        case events.AwaitAgent(container_id):
            return DeadlineExceeded(
                f"container {container_id[:12]} is left as it is: nobody knows after {limit}"
                " whether the policy agent is there",
                hint="`calicoctl status` shows how it is",
            )
        case events.Hold():
            return DeadlineExceeded(
                f"the proxy holds too many long requests, no room for this one in {limit}",
                hint="try again when others are done",
            )
        case _:
            return DeadlineExceeded(
                f"etcd does not answer: no word in {limit}",
                hint="`calicoctl status` shows how it is",
            )


def _answer(workloads: Workloads, question: Question, since: float) -> object:
    match question:
        case events.Check(wish):
            workloads.check(wish)
        case events.Reserve(container_id, wish):
            workloads.reserve(container_id, wish)
        case events.Identify(name):
            return workloads.identify(name)
        case events.Wishes(name):
            return workloads.wishes(name)
        case events.AwaitAgent(container_id, unless_running):
            left = AGENT_SECONDS - (time.monotonic() - since)
            workloads.await_agent(container_id, left, unless_running=unless_running)
        case events.Connect(container_id):
            waited = time.monotonic() - since
            workloads.connect(container_id, CONNECT_SECONDS - waited)
        case events.Release(container_id):
            workloads.release(container_id)
        case _:
            pass  # answered without workloads
    return None


def _undo(work: Callable[[], None]) -> None:
    try:
        work()
    except CalicoError as error:
        log.warning("cannot take back what came too late: %s", error.message)


def _nothing_to_do() -> "Future[object]":
    done: Future[object] = Future()
    done.set_result(None)
    return done
