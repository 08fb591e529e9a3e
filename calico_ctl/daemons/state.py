"""What the policy agent knows, told to whoever asks on this host.

All that it holds in memory is for `calicoctl diags`: a listener waits at a socket, the deciding
thread answers, since only it owns the state. An agent that hangs therefore does not answer, and
that tells something too. How it is, for `calicoctl status`, it has said already (`reports`), so the
listener answers by itself.
"""

import hashlib
import json
import logging
import queue
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from calico_ctl.daemons.runtime import Post, Stopping
from calico_ctl.errors import CalicoError
from calico_ctl.host import local_answers
from calico_ctl.policy.ruleset import Ruleset

log = logging.getLogger(__name__)

_SECONDS_TO_DECIDE = 30.0

State = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class StateWanted:
    """Somebody wants to know; the text goes into `told`."""

    told: "queue.SimpleQueue[str]" = field(default_factory=queue.SimpleQueue)


def run(path: Path, post: Post, stopping: Stopping) -> None:
    """Take questions until `stopping` is set. Without a socket the agent works all the same."""
    _give(path, partial(_asked, post), stopping)


def run_report(path: Path, report: Callable[[], str], post: Post, stopping: Stopping) -> None:
    """Tell whoever asks how the agent is, until `stopping` is set."""
    del post
    _give(path, report, stopping)


def _give(path: Path, answer: Callable[[], str], stopping: Stopping) -> None:
    try:
        local_answers.give(path, answer, stopping)
    except CalicoError as error:
        log.warning("who asks on this host will not be told how this agent is: %s", error.message)
        stopping.wait()


def answer(batch: Iterable[object], state: Callable[[], State]) -> None:
    """Answer the questions of a batch, in the deciding thread."""
    for message in batch:
        if isinstance(message, StateWanted):
            message.told.put(json.dumps(state(), indent=2, default=str))


def described(table: Ruleset) -> State:
    """Say how large each part of a table is; `digest` is the same only for the same table."""
    parts = {
        "chains": {name: len(chain.rules) for name, chain in sorted(table.chains.items())},
        "sets": {name: len(each.elements) for name, each in sorted(table.sets.items())},
        "maps": {name: len(each.verdicts) for name, each in sorted(table.maps.items())},
    }
    return {"digest": _digest(table), **parts}


def _digest(table: Ruleset) -> str:
    chains = [(name, chain.hook, chain.rules) for name, chain in sorted(table.chains.items())]
    sets = [(name, each.type, sorted(each.elements)) for name, each in sorted(table.sets.items())]
    maps = [(name, sorted(each.verdicts.items())) for name, each in sorted(table.maps.items())]
    return hashlib.sha256(repr((chains, sets, maps)).encode()).hexdigest()


def _asked(post: Post) -> str:
    wanted = StateWanted()
    post(wanted)
    try:
        return wanted.told.get(timeout=_SECONDS_TO_DECIDE)
    except queue.Empty:
        return f"the agent's deciding thread did not answer within {_SECONDS_TO_DECIDE:g} s\n"
