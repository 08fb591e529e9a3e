"""A collector: a name, and where what it collects comes from; and carrying many of them out.

Each has a time limit of its own and a thread of its own. One that is late is left behind, one that
fails leaves its error in its file, and the others notice nothing.
"""

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from calico_ctl.errors import CalicoError

_AT_ONCE = 6
"""Enough for those that wait, few enough not to slow down a machine that is in trouble already."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was collected: texts by the name of their file, and secrets that were seen in them."""

    files: Mapping[str, str]
    secrets: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Collector:
    """`gather` returns the text of the file `name`, or several files; it may raise anything.

    `seconds` is how long it may take.
    """

    name: str
    gather: Callable[[], str | Evidence]
    seconds: float = 20.0


@dataclass(frozen=True, slots=True)
class Collected:
    """What became of a collector. `failure` says in a sentence why there is nothing; else empty."""

    name: str
    evidence: Evidence
    failure: str = ""


@dataclass(slots=True)
class _Running:
    collector: Collector
    until: float


@dataclass(slots=True)
class _Crew:
    """Who is at work, and where they put what they have."""

    done: "queue.SimpleQueue[Collected]" = field(default_factory=queue.SimpleQueue)
    running: dict[str, _Running] = field(default_factory=dict)

    def start(self, collector: Collector) -> None:
        """Send one out, in a thread that the end of the process does not wait for."""
        self.running[collector.name] = _Running(collector, time.monotonic() + collector.seconds)

        def work() -> None:
            self.done.put(_carried_out(collector))

        threading.Thread(target=work, name=collector.name, daemon=True).start()

    def next(self) -> list[Collected]:
        """Wait for somebody to come back, or for the time of somebody to be over."""
        nearest = min(each.until for each in self.running.values())
        try:
            found = self.done.get(timeout=max(nearest - time.monotonic(), 0.0))
        except queue.Empty:
            return [self._left_behind(name) for name in self._late()]
        # Who was left behind may come back after all: what is reported stays as it is.
        return [found] if self.running.pop(found.name, None) else []

    def _late(self) -> list[str]:
        now = time.monotonic()
        return [name for name, each in self.running.items() if each.until <= now]

    def _left_behind(self, name: str) -> Collected:
        seconds = self.running.pop(name).collector.seconds
        return _failed(name, f"it took longer than {seconds:g} s")


def collect(collectors: Sequence[Collector]) -> list[Collected]:
    """Carry all out; return what became of each, in their order. Names are different."""
    waiting, crew = list(reversed(collectors)), _Crew()
    found: dict[str, Collected] = {}
    while waiting or crew.running:
        while waiting and len(crew.running) < _AT_ONCE:
            crew.start(waiting.pop())
        for each in crew.next():
            found[each.name] = each
    return [found[collector.name] for collector in collectors]


def _carried_out(collector: Collector) -> Collected:
    try:
        gathered = collector.gather()
    except CalicoError as error:
        return _failed(collector.name, error.message)
    except Exception as error:  # noqa: BLE001 - whatever is broken, the rest is still collected
        return _failed(collector.name, f"{type(error).__name__}: {error}")
    if isinstance(gathered, str):
        gathered = Evidence({collector.name: gathered})
    return Collected(collector.name, gathered)


def _failed(name: str, why: str) -> Collected:
    return Collected(name, Evidence({name: f"not collected: {why}\n"}), why)
