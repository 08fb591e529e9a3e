"""A flow of datagrams between two containers, 50 a second, of which each one is accounted for."""

import itertools
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any

from tests.support import command, probes
from tests.support.host import Host

PORT = 7000
PATIENCE = 30.0
_DATAGRAMS = [sys.executable, "-I", "-S", str(Path(__file__).with_name("datagrams.py"))]
_numbers = itertools.count(1)


@dataclass
class Flow:
    """A flow that is running."""

    directory: Path
    process: Popen[bytes]

    def goes_on(self) -> None:
        """Wait until fifty more have been answered than now."""
        before = self._answered()
        command.wait_until(
            lambda: self._answered() >= before + 50, PATIENCE, "the datagrams are answered"
        )

    def lost(self) -> list[int]:
        """End it; return the numbers of those that were never answered.

        Those that the kernel would not even send are named by an AssertionError.
        """
        (self.directory / "stop").touch()
        command.wait_until(lambda: self._result()["done"], PATIENCE, "the last ones are answered")
        self.process.wait(PATIENCE)
        found = self._result()
        assert not found["refused"], found["refused"]
        print(f"{found['sent']} datagrams sent, not answered: {found['lost']}")
        lost: list[int] = found["lost"]
        return lost

    def _answered(self) -> int:
        found = self._result()
        return int(found["sent"]) - len(found["lost"])

    def _result(self) -> dict[str, Any]:
        path = self.directory / "result"
        nothing = {"sent": 0, "lost": [], "done": False}
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else nothing
        return found


def answer(host: Host, container: str) -> None:
    """Let a container answer flows, until the host ends."""
    prefix = probes.inside(host, container)
    host.spawn([*prefix, *_DATAGRAMS, "answer", str(PORT)], "datagrams.log")
    listing = [*prefix, "ss", "-Hlnu", f"sport = :{PORT}"]
    command.wait_until(
        lambda: host.run(listing, quiet=True).out, PATIENCE, f"{container} answers datagrams"
    )


def start(host: Host, container: str, address: str) -> Flow:
    """Start a flow from a container to an address of one that answers; wait until it runs."""
    directory = host.directory / f"flow{next(_numbers)}"
    directory.mkdir()
    argv = [*probes.inside(host, container), *_DATAGRAMS, "ask", address, str(PORT)]
    flow = Flow(directory, host.spawn([*argv, str(directory)], "datagrams.log"))
    flow.goes_on()
    return flow
