"""calicoctl in this process: words in; exit code, stdout and stderr out.

The platform behind it is a fake: a store in memory, and what else of it a test puts there.
"""

import io
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from typing import NoReturn
from unittest.mock import patch

from netaddr import IPAddress

from calico_ctl import main
from calico_ctl.console import Console
from calico_ctl.datastore import endpoints
from calico_ctl.errors import NotFound
from calico_ctl.model import names
from calico_ctl.model.endpoint import DOCKER, Endpoint, EndpointKey, State
from calico_ctl.workload.platform import Clock, Counters, Docker, DropWatch, Network
from tests.support.machine import Machine
from tests.support.memory_store import MemoryStore

ROOT = 0
NOT_ROOT = 1000


class Untouched:
    """Stands for a part of the world that the test says is not used."""

    def __getattr__(self, name: str) -> NoReturn:
        raise AssertionError(f"nobody was to ask for {name}")


@dataclass(slots=True)
class FakePlatform:
    """Implements `workload.platform.Platform`; what a test does not set must not be used."""

    hostname: str = "host1"
    store: MemoryStore = field(default_factory=MemoryStore)
    docker: Docker = field(default_factory=Untouched)
    network: Network = field(default_factory=Untouched)
    counters: Counters = field(default_factory=Untouched)
    clock: Clock = field(default_factory=Untouched)
    watch: DropWatch = field(default_factory=Untouched)

    def drop_watch(self) -> DropWatch:
        """Begin to look at what the kernel drops: what the test made up."""
        return self.watch

    def agent_report(self) -> str:
        """Find no agent."""
        raise NotFound("no process answers")


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended and what it printed."""

    exit: int
    out: str
    err: str


@dataclass(slots=True)
class Cli:
    """A shell in which calicoctl can be run again and again on the same platform."""

    platform: FakePlatform | Machine = field(default_factory=FakePlatform)
    user: int = ROOT

    @property
    def store(self) -> MemoryStore:
        """The datastore behind it."""
        return self.platform.store

    def run(self, *words: str, stdin: str = "", debug: bool = False) -> Finished:
        """Run a command line to its end, whatever that is."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), patch("sys.stdin", io.StringIO(stdin)):
            code = main.run(words, self.platform, Console(self.user), debug=debug)
        return Finished(code, out.getvalue(), err.getvalue())

    def done(self, *words: str, stdin: str = "") -> str:
        """Run a command line that has to work; return what it printed on stdout."""
        finished = self.run(*words, stdin=stdin)
        assert finished.exit == 0, finished
        return finished.out

    def refused(self, *words: str, stdin: str = "") -> str:
        """Run a command line that has to fail and change nothing; return its error message."""
        before = self.contents()
        finished = self.run(*words, stdin=stdin)
        assert finished.exit == 1, finished
        assert finished.out == ""
        assert "this is a bug" not in finished.err, finished.err
        assert self.contents() == before
        return finished.err

    def contents(self) -> dict[str, str | None]:
        """Return every key of the store with its value."""
        return {entry.key: entry.value for entry in self.store.tree("/").entries}

    def endpoint(
        self,
        id_: str,
        *addresses: str,
        host: str = "host1",
        workload: str = "w1",
        profiles: tuple[str, ...] = (),
    ) -> Endpoint:
        """Put an endpoint into the store."""
        made = Endpoint(
            EndpointKey(host, DOCKER, workload, id_),
            State.ACTIVE,
            names.host_interface(id_),
            "aa:bb:cc:dd:ee:ff",
            profiles,
            tuple(IPAddress(text) for text in addresses),
        )
        endpoints.create(self.store, made)
        return made


def cells(table: str) -> list[list[str]]:
    """Return the rows of a printed table, headings first, each cell without its padding."""
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
        if line.startswith("|")
    ]
