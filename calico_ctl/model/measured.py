"""What one service has measured, as a value; its JSON in a file; and many of them as one text.

Reading is total: a file that cannot be read is None, and what in it is not known is left out, so
that services of two versions can stand side by side. The text is Prometheus's exposition format.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from calico_ctl.model import metric
from calico_ctl.model.metric import Kind, Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Distribution:
    """How often a value fell into each bucket of a histogram, the endless one last; and its sum."""

    counts: tuple[int, ...]
    total: float


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a metric, with the values of its labels."""

    metric: Metric
    labels: Labels
    value: float | Distribution


@dataclass(frozen=True, slots=True)
class Measured:
    """What a service measured. `started` is in seconds since 1970.

    `written` is in seconds of the clock that begins when the machine does, so that a clock that is
    set makes nothing old. `trouble` is None until the service has said how it is, and empty while
    it is well.
    """

    service: str
    started: float
    written: float
    restarts: int = 0
    trouble: str | None = None
    samples: Sequence[Sample] = field(default_factory=tuple)


def encode(measured: Measured) -> str:
    """Return it as JSON."""
    return json.dumps(
        {
            "service": measured.service,
            "started": measured.started,
            "written": measured.written,
            "restarts": measured.restarts,
            "trouble": measured.trouble,
            "samples": [_fields(each) for each in measured.samples],
        }
    )


def decode(text: str) -> Measured | None:
    """Read that JSON; None if it is none."""
    try:
        said = json.loads(text)
        trouble = said["trouble"]
        return Measured(
            str(said["service"]),
            float(said["started"]),
            float(said["written"]),
            int(said["restarts"]),
            None if trouble is None else str(trouble),
            [sample for each in said["samples"] if (sample := _sample(each)) is not None],
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        return None


def by_service(measured: Iterable[Measured]) -> list[Sample]:
    """Return the samples of several services, those of the same metric told apart by service."""
    return [
        Sample(each.metric, (one.service, *each.labels), each.value)
        if each.metric.by_service
        else each
        for one in measured
        for each in one.samples
    ]


def exposition(samples: Iterable[Sample]) -> str:
    """Write samples as Prometheus reads them, those of a metric together."""
    found: dict[str, dict[Labels, float | Distribution]] = {}
    for each in samples:
        found.setdefault(each.metric.name, {})[each.labels] = each.value
    lines: list[str] = []
    for one in metric.ALL:
        if one.name in found:
            lines += _family(one, found[one.name])
    return "".join(f"{line}\n" for line in lines)


def _family(one: Metric, values: Mapping[Labels, float | Distribution]) -> Iterable[str]:
    yield f"# HELP {one.name} {_escaped_help(one.meaning)}"
    yield f"# TYPE {one.name} {one.kind}"
    for labels, value in sorted(values.items(), key=lambda pair: pair[0]):
        pairs = list(zip(one.labels, labels, strict=True))
        if isinstance(value, Distribution):
            yield from _histogram(one, pairs, value)
        else:
            yield f"{one.name}{_labels(pairs)} {_number(value)}"


def _histogram(one: Metric, pairs: Sequence[tuple[str, str]], value: Distribution) -> Iterable[str]:
    bounds = [*(_number(each) for each in one.buckets), "+Inf"]
    for bound, count in zip(bounds, accumulate(value.counts), strict=True):
        yield f"{one.name}_bucket{_labels([*pairs, ('le', bound)])} {count}"
    yield f"{one.name}_sum{_labels(pairs)} {_number(value.total)}"
    yield f"{one.name}_count{_labels(pairs)} {sum(value.counts)}"


def _labels(pairs: Sequence[tuple[str, str]]) -> str:
    if not pairs:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _escaped_help(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _number(value: float) -> str:
    # Whole numbers without a point, and as many digits as they have.
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _fields(sample: Sample) -> list[object]:
    value = sample.value
    if isinstance(value, Distribution):
        return [sample.metric.name, list(sample.labels), list(value.counts), value.total]
    return [sample.metric.name, list(sample.labels), value]


def _sample(said: Sequence[object]) -> Sample | None:
    """Read a sample; None if its metric is not known, or is of another form here."""
    name, labels, value, *more = said
    one = metric.BY_NAME.get(str(name))
    if one is None or not isinstance(labels, list):
        return None
    if len(labels) != len(one.labels) - one.by_service:
        return None
    texts = tuple(str(each) for each in labels)
    if one.kind is not Kind.HISTOGRAM:
        return Sample(one, texts, value) if isinstance(value, int | float) else None
    if not isinstance(value, list) or len(value) != len(one.buckets) + 1 or len(more) != 1:
        return None
    counts = tuple(int(each) for each in value)
    return Sample(one, texts, Distribution(counts, float(str(more[0]))))
