"""What the Docker API proxy asks about containers, and the threads in which it is answered.

An answer takes its time (etcd, the engine and the kernel are asked), and the proxy has one thread
for all its connections: so each question gets a thread of its own. A daemon thread: those of an
executor would have the process wait for them when it is told to end.
"""

import threading
from concurrent.futures import Future
from typing import Protocol

from calico_ctl.model.endpoint import Endpoint
from calico_ctl.model.wish import Wish
from calico_ctl.proxy import events
from calico_ctl.proxy.events import Question


class Workloads(Protocol):
    """What the proxy asks about containers. All but `endpoint` may block; errors: CalicoError."""

    def check(self, wish: Wish) -> None:
        """Return if a container with this wish may be created, raise if not."""

    def reserve(self, container_id: str, wish: Wish) -> None:
        """Reserve the wished addresses; on failure remove the container again and raise."""

    def identify(self, name: str) -> str | None:
        """Return the full id of the container if it has to do with Calico."""

    def wishes(self, name: str) -> bool:
        """Say whether the container has a network of ours in the place of Docker's."""

    def connect(self, container: str) -> None:
        """Wait until its network works; on failure stop it again and raise."""

    def release(self, container_id: str) -> None:
        """Release everything of a container that was removed."""

    def endpoint(self, container_id: str) -> Endpoint | None:
        """Return the endpoint of the container with that full id, from memory, in any thread."""


def ask(workloads: Workloads, question: Question) -> "Future[object]":
    """Have a question answered: the future gets what `Done` shall tell, or what was raised."""
    answered: Future[object] = Future()
    # From now on who waits may give up, and the answer is still taken.
    answered.set_running_or_notify_cancel()

    def work() -> None:
        try:
            result = _answer(workloads, question)
        except BaseException as error:  # noqa: BLE001 - it is raised where the question was asked
            answered.set_exception(error)
        else:
            answered.set_result(result)

    threading.Thread(target=work, name="question", daemon=True).start()
    return answered


def _answer(workloads: Workloads, question: Question) -> object:
    match question:
        case events.Check(wish):
            workloads.check(wish)
        case events.Reserve(container_id, wish):
            workloads.reserve(container_id, wish)
        case events.Identify(name):
            return workloads.identify(name)
        case events.Wishes(name):
            return workloads.wishes(name)
        case events.Connect(container):
            workloads.connect(container)
        case events.Release(container_id):
            workloads.release(container_id)
        case events.Compute(work):
            return work()
    return None
