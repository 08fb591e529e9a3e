"""Doing several things although some may fail."""

from collections.abc import Callable, Iterable

from calico_ctl.errors import CalicoError

Step = Callable[[], object]

_FINISHED_LATER = "calico-node on this host finishes it as soon as it can"


def try_all(steps: Iterable[Step]) -> list[CalicoError]:
    """Run every step, also after one failed; return the failures in order."""
    failures = []
    for step in steps:
        try:
            step()
        except CalicoError as error:
            failures.append(error)
    return failures


def incomplete(what: str, failures: list[CalicoError], hint: str = _FINISHED_LATER) -> CalicoError:
    """Make the error that says what could not be finished, why, and who will finish it."""
    reasons = "; ".join(dict.fromkeys(error.message for error in failures))
    return CalicoError(f"{what}: {reasons}", hint=hint)
