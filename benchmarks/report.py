"""The table that a benchmark prints, line by line as it measures, and its exit code."""

import argparse
import json
import math
import os
import timeit
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

from benchmarks.flows import Counts

Widths = tuple[int, int, int]

_WIDTHS: Widths = (60, 46, 25)


@dataclass(frozen=True)
class Line:
    """One row. `met` is None where there is no target; `felix` is what the old agent needed."""

    what: str
    measured: str
    target: str = ""
    met: bool | None = None
    felix: str = ""


def percentile(samples: Iterable[float], percent: float) -> float:
    """Return the smallest sample that at least so many percent of the samples do not exceed."""
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def latency(
    what: str, samples: Sequence[float], *, p50: float = 0, p99: float = 0, felix: str = ""
) -> Line:
    """Report times in milliseconds; those that never ended are infinite. 0 is no target."""
    if not samples:
        return Line(what, "nothing measured", met=False if p50 else None)
    middle, high = percentile(samples, 50), percentile(samples, 99)
    measured = f"p50 {middle:.1f} ms, p99 {high:.1f} ms (n={len(samples)})"
    if not p50:
        return Line(what, measured, felix=felix)
    target = f"p50 ≤ {p50:g} ms, p99 ≤ {p99:g} ms"
    return Line(what, measured, target, middle <= p50 and high <= p99, felix)


def at_most(what: str, value: float, limit: float, unit: str, *, felix: str = "") -> Line:
    """Report one number that shall not be above a limit."""
    return Line(what, f"{value:.2f} {unit}", f"≤ {limit:g} {unit}", value <= limit, felix)


def at_least(what: str, value: float, limit: float, unit: str) -> Line:
    """Report one number that shall not be below a limit."""
    return Line(what, f"{value:.2f} {unit}", f"≥ {limit:g} {unit}", value >= limit)


def losses(
    what: str, updates: int, transactions: int, counts: Counts, *, control: bool = False
) -> Line:
    """Report what happened to packets during updates. A control has no target."""
    measured = (
        f"{updates} in {transactions} transactions; lost {counts.new_lost} of {counts.new} new,"
        f" {counts.established_lost} of {counts.established} established;"
        f" let in {counts.leaked} of {counts.denied}"
    )
    if control:
        return Line(what, measured)
    return Line(what, measured, "0 lost, 0 let in", counts.clean)


def show(title: str, lines: Iterable[Line], widths: Widths = _WIDTHS) -> int:
    """Print lines as they come; return 1 if a target was missed, else 0."""
    print(f"\n{title}\n", flush=True)
    pace, processors = [_pace()], _Processors.now()
    _print(widths, ("what", "measured", "target", "", "historical Felix"))
    total = missed = 0
    for line in lines:
        verdict = {None: "", True: "met", False: "MISSED"}[line.met]
        _print(widths, (line.what, line.measured, line.target, verdict, line.felix))
        total += line.met is not None
        missed += line.met is False
    print(f"{total - missed} of {total} targets met" if total else "no targets", flush=True)
    withheld = _Processors.now().withheld_since(processors)
    pace.append(_pace())
    before, after = (f"{taken * 1000:.0f} ms" for taken in pace)
    print(f"this machine: json.loads of 10,000 small objects took {before} before, {after} after;")
    print(f"meanwhile others took {withheld:.0%} of the processor time that it wanted (steal)")
    return 1 if missed else 0


def main(
    title: str,
    lines: Iterable[Line],
    document: str | None,
    *,
    root_for: str = "network namespaces",
) -> int:
    """Be a benchmark that has no options and needs root; return 1 if a target was missed.

    `document` is what its help says.
    """
    parser = argparse.ArgumentParser(
        description=document, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args()
    if os.geteuid() != 0:
        parser.error(f"needs root, for {root_for}")
    return show(title, lines)


def _pace() -> float:
    """Return how fast the machine is just now, so that numbers of other days can be compared."""
    text = json.dumps({f"field{number}": [number, "value"] for number in range(8)})
    return min(timeit.repeat(lambda: json.loads(text), number=10_000, repeat=5))


class _Processors(NamedTuple):
    """What this machine's processors did so far, in ticks (proc_stat(5))."""

    busy: int
    withheld: int

    @classmethod
    def now(cls) -> Self:
        first = Path("/proc/stat").read_text().partition("\n")[0]
        user, nice, system, _idle, _waiting, irq, softirq, steal = map(int, first.split()[1:9])
        return cls(user + nice + system + irq + softirq, steal)

    def withheld_since(self, before: Self) -> float:
        """Return the share of the wanted time that a virtual machine's host gave to others."""
        withheld = self.withheld - before.withheld
        return withheld / max(1, self.busy - before.busy + withheld)


def _print(widths: Widths, texts: Sequence[str]) -> None:
    columns = (text.ljust(width) for text, width in zip(texts, (*widths, 7, 0), strict=True))
    print(" ".join(columns).rstrip(), flush=True)
