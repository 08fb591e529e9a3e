"""Network namespaces of their own, for tests of code that changes links, routes and firewalls."""

import contextlib
import ctypes
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.support import command

CLONE_NEWNET = 0x40000000


class NetNs:
    """A network namespace, held open by a sleeping process; `close` destroys it."""

    def __init__(self, survives: bool = False) -> None:
        guard = () if survives else command.DIES_WITH_US
        self._holder = command.spawn(
            [*guard, "unshare", "--net", "sleep", "infinity"], Path(os.devnull)
        )
        command.wait_until(self._ready, 5, "a network namespace is made")

    def _ready(self) -> bool:
        """The holder has left our namespace and runs its last program."""
        own = Path("/proc/self/ns/net").stat().st_ino
        name = Path(f"/proc/{self.pid}/comm").read_text().strip()
        return name == "sleep" and self.path.stat().st_ino != own

    @property
    def pid(self) -> int:
        """The process that holds the namespace."""
        return self._holder.pid

    @property
    def path(self) -> Path:
        """The namespace as a file."""
        return Path(f"/proc/{self.pid}/ns/net")

    def run(
        self, argv: Sequence[str], *, check: bool = True, stdin: str = "", quiet: bool = False
    ) -> command.Result:
        """Run a program in the namespace."""
        prefix = ["nsenter", "--target", str(self.pid), "--net"]
        show = "" if quiet else command.plain(argv)
        return command.run([*prefix, *argv], show=show, check=check, stdin=stdin)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """This thread, and what it starts, is in the namespace."""
        home_path = Path("/proc/thread-self/ns/net")
        with home_path.open("rb") as home, self.path.open("rb") as inside:
            _setns(inside.fileno())
            try:
                yield
            finally:
                _setns(home.fileno())

    def close(self) -> None:
        """Destroy the namespace."""
        command.stop(self._holder)


@contextlib.contextmanager
def private_netns() -> Iterator[NetNs]:
    """A fresh network namespace with its loopback up, gone afterwards."""
    namespace = NetNs()
    try:
        namespace.run(["ip", "link", "set", "lo", "up"])
        yield namespace
    finally:
        namespace.close()


def _setns(descriptor: int) -> None:
    # os.setns exists since Python 3.12 only
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
