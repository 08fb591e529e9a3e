"""calicoctl as a process of its own, as a person or a script runs it, against a real etcd."""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.support.cli import Finished
from tests.support.paths import CHECKOUT

RUNS: list[tuple[str, ...]] = []
"""The words of every command line that worked, for the test that none of the grammar is missing."""

SHOWN: list[str] = []
"""What those printed that were to print JSON, for the test that its fields are documented."""

_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Shell:
    """A shell whose environment names an etcd. `settings` are more variables of it.

    `before` are the words of a program that runs what it is told to in some other way.
    """

    authority: str
    settings: Mapping[str, str] = field(default_factory=dict)
    before: Sequence[str] = ()

    def run(self, line: str, *, stdin: str = "", **settings: str) -> Finished:
        """Run `calicoctl <line>`, which is split as a shell does, to its end, whatever that is."""
        words = shlex.split(line)
        done = subprocess.run(
            [*self.before, sys.executable, CHECKOUT / "calicoctl.py", *words],
            input=stdin,
            env=self._environment() | settings,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
        finished = Finished(done.returncode, done.stdout, done.stderr)
        print(f"$ calicoctl {line}  # {finished}")
        if finished.exit == 0:
            RUNS.append(tuple(words))
        if "--output=json" in words and finished.out:
            SHOWN.append(finished.out)
        return finished

    def done(self, line: str, *, stdin: str = "", **settings: str) -> str:
        """Run a command line that has to work; return what it printed on stdout."""
        finished = self.run(line, stdin=stdin, **settings)
        assert finished.exit == 0, finished
        return finished.out

    def refused(self, line: str, *, stdin: str = "", **settings: str) -> str:
        """Run a command line that has to fail in good order; return its error message."""
        finished = self.run(line, stdin=stdin, **settings)
        assert finished.exit == 1, finished
        assert finished.out == "", finished
        assert finished.err, finished
        assert "Traceback" not in finished.err, finished
        assert "this is a bug" not in finished.err, finished
        return finished.err

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return kept | {"ETCD_AUTHORITY": self.authority} | dict(self.settings)
