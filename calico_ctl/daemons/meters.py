"""What a service measures of itself, and the small file in which it says so.

To count costs a microsecond, in whatever thread: what is counted is written by a thread of its
own, a few times a minute, and renamed into place. The metrics service reads the files of all; so no
service waits for whoever asks, and what a dead one measured last is still there, and seen to be
old. The file of a former life also tells how often the service was started again.
"""

import logging
import os
import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from calico_ctl.daemons.runtime import Post, Stopping
from calico_ctl.errors import CalicoError
from calico_ctl.host import files
from calico_ctl.model import measured, metric
from calico_ctl.model.measured import Distribution, Labels, Measured, Sample
from calico_ctl.model.metric import Metric

log = logging.getLogger(__name__)

WRITE_SECONDS = 10.0
"""How often a service says at least what it measured; within two seconds if that is new."""

_LOOK_SECONDS = 2.0

_Key = tuple[Metric, Labels]


@dataclass(slots=True)
class _Histogram:
    counts: list[int]
    total: float = 0.0


@dataclass(slots=True)
class _Known:
    values: dict[_Key, float] = field(default_factory=dict)
    histograms: dict[_Key, _Histogram] = field(default_factory=dict)


class Meters:
    """The measurements of one service; any thread may measure."""

    def __init__(
        self,
        service: str,
        directory: str | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin at nothing, and find out which life of the service this is.

        Without a directory nothing is written, and what is measured is only in here.
        """
        self.service = service
        self._path = None if directory is None else f"{directory}/{service}.json"
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._known = _Known()
        self._troubles: dict[str, str] = {}
        self._is_new = True
        self._due = 0.0
        self._asked: list[Callable[[], None]] = []
        self._started = time.clock_gettime(time.CLOCK_REALTIME)
        self.restarts = self._former_restarts()

    def count(self, what: Metric, *labels: str, by: float = 1) -> None:
        """Add to a counter."""
        key = (what, labels)
        with self._lock:
            values = self._known.values
            values[key] = values.get(key, 0) + by
            self._is_new = True

    def set(self, what: Metric, value: float, *labels: str) -> None:
        """Say what a value is now."""
        key = (what, labels)
        with self._lock:
            if self._known.values.get(key) != value:
                self._known.values[key] = value
                self._is_new = True

    def observe(self, what: Metric, value: float, *labels: str) -> None:
        """Put a value into a histogram."""
        key, at = (what, labels), bisect_left(what.buckets, value)
        with self._lock:
            histogram = self._known.histograms.get(key)
            if histogram is None:
                histogram = _Histogram([0] * (len(what.buckets) + 1))
                self._known.histograms[key] = histogram
            histogram.counts[at] += 1
            histogram.total += value
            self._is_new = True

    def say(self, trouble: str, part: str = "") -> None:
        """Say how the service, or a part of it, is: empty if it does its work, else why it cannot.

        Of a service that has said nothing of itself as a whole it is not known how it is.
        """
        with self._lock:
            if self._troubles.get(part) != trouble:
                self._troubles[part] = trouble
                self._is_new = True

    def ask(self, whom: Callable[[], None]) -> None:
        """Have somebody called each time before this is written, who then measures.

        So whoever has values that change often pays nothing for them.
        """
        self._asked.append(whom)

    def measured(self) -> Measured:
        """Return all of it, as it is now."""
        self._gather()
        self.set(metric.MEMORY, _resident_bytes())
        with self._lock:
            samples: list[Sample] = [
                Sample(what, labels, value) for (what, labels), value in self._known.values.items()
            ]
            samples += [
                Sample(what, labels, Distribution(tuple(each.counts), each.total))
                for (what, labels), each in self._known.histograms.items()
            ]
            troubles = dict(self._troubles)
        trouble = "; ".join(filter(None, troubles.values())) if "" in troubles else None
        return Measured(
            self.service, self._started, self._monotonic(), self.restarts, trouble, samples
        )

    def run(self, post: Post, stopping: Stopping) -> None:
        """Write until `stopping` is set; a listener that posts nothing.

        A disk that is full is logged once and ends nothing.
        """
        del post
        counting = _CountingHandler(self)
        logging.getLogger().addHandler(counting)
        told = ""
        try:
            while not stopping.is_set():
                try:
                    self._write_if_due()
                    told = ""
                except CalicoError as error:
                    if error.message != told:
                        log.warning("cannot say what was measured: %s", error.message)
                    told = error.message
                stopping.wait(_LOOK_SECONDS)
        finally:
            logging.getLogger().removeHandler(counting)

    def _write_if_due(self) -> None:
        now = self._monotonic()
        if self._is_new or now >= self._due:
            self._due = now + WRITE_SECONDS
            self.write()

    def _gather(self) -> None:
        for each in self._asked:
            each()

    def write(self) -> None:
        """Say what was measured; raise CalicoError if that cannot be written."""
        found = self.measured()
        self._is_new = False
        if self._path is not None:
            files.write_if_changed(self._path, measured.encode(found))

    def _former_restarts(self) -> int:
        if self._path is None:
            return 0
        former = read(Path(self._path))
        return 0 if former is None else former.restarts + 1


def read(path: Path) -> Measured | None:
    """Return what a service wrote, or None if there is no such file or it makes no sense."""
    try:
        text = files.read(str(path))
    except (CalicoError, ValueError):
        return None
    return None if text is None else measured.decode(text)


class _CountingHandler(logging.Handler):
    """Counts warnings and errors, whoever logs them."""

    def __init__(self, meters: Meters) -> None:
        super().__init__(logging.WARNING)
        self._meters = meters

    def emit(self, record: logging.LogRecord) -> None:
        """Count the line."""
        level = "warning" if record.levelno < logging.ERROR else "error"
        self._meters.count(metric.LOG_LINES, level)


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
