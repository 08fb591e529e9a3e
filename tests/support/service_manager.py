"""systemd as the service manager of a lab host, with no units but those that a test brings.

It is the machine's own program. What a test installs beside it is gone with the host. There is no
journal: a service whose words count has to write them into a file.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support import command
from tests.support.command import Result
from tests.support.host import NAMESPACES, Host

_SCRIPT = Path(__file__).with_suffix(".sh")
_TARGETS = ("sysinit", "basic", "shutdown", "network-online", "multi-user")
"""What every unit needs by default."""


@dataclass(frozen=True)
class ServiceManager:
    """A systemd that runs in a host."""

    host: Host
    pid: int

    def run(self, *argv: str, check: bool = True) -> Result:
        """Run a program where systemd and its services run."""
        show = f"{self.host.name}# {command.plain(argv)}"
        return command.run(self._inside(argv), show=show, check=check)

    def ask(self, *argv: str) -> str:
        """Return what `systemctl` says, whatever its exit code."""
        return command.run(self._inside(["systemctl", *argv]), show="", check=False).out.strip()

    def terminal(self) -> Host:
        """Return the host as whoever installs something there sees it."""
        return _Terminal(self)

    def _inside(self, argv: Sequence[str]) -> list[str]:
        return ["nsenter", "--target", str(self.pid), *NAMESPACES, "--", *argv]


class _Terminal(Host):
    """The host beside systemd, without the calicoctl that each host of a lab has."""

    def __init__(self, manager: ServiceManager) -> None:
        host = manager.host
        super().__init__(host.number, host.directory, host.cgroup)
        self.pid = manager.pid

    def _environment(self, extra: Mapping[str, str] | None) -> dict[str, str]:
        return command.clean_environment(extra)


def start(host: Host, units: Mapping[str, str]) -> ServiceManager:
    """Start it; `units`: the files that it has in the beginning, by their names."""
    targets = {f"{name}.target": "[Unit]\nDefaultDependencies=no\n" for name in _TARGETS}
    for name, text in (targets | dict(units)).items():
        file = host.directory / "units" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    process = host.spawn(["sh", str(_SCRIPT), str(host.directory)], "systemd.log")
    command.wait_until(lambda: _systemd_below(process.pid), 20, "systemd begins")
    manager = ServiceManager(host, _systemd_below(process.pid))
    command.wait_until(
        lambda: manager.ask("is-system-running") == "running", 20, "systemd runs", every=0.2
    )
    return manager


def _systemd_below(pid: int) -> int:
    """The number of systemd as this machine counts, 0 until it is there.

    Above it are nsenter and unshare; the shell that will be one of these has others below it, too.
    """
    with contextlib.suppress(OSError):
        while Path(f"/proc/{pid}/comm").read_text() != "systemd\n":
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            if not children:
                return 0
            pid = int(children[0])
        return pid
    return 0
