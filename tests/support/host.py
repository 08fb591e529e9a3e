"""One Docker host of a lab: namespaces of its own, a Docker Engine of its own, one network cable.

Its first process is a small init; ending that ends everything in the host (`power_cut`). What it
has on disk is in one directory on the machine, so that it can come up again with what it had.
"""

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.support import cgroups, command, terminal
from tests.support.command import Command, Result
from tests.support.netns import NetNs
from tests.support.paths import CHECKOUT
from tests.support.terminal import Terminal

NAMESPACES = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup")
"""What a host has of its own; the same words for making (unshare) and entering (nsenter) it."""

NO_NETWORK = {
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "NO_PROXY": "10.99.0.0/24",
}
"""A pull by an engine without network then fails at once instead of after Docker's DNS retries.

A registry in one of the lab's hosts is reached.
"""


def calicoctl_program() -> list[str]:
    """The command under test: the checkout's, or the program named by CALICOCTL (the binary)."""
    binary = os.environ.get("CALICOCTL")
    if binary:
        return [str(Path(binary).resolve())]
    return [sys.executable, str(CHECKOUT / "calicoctl.py")]


class Host:
    """A Docker host. `number` gives its addresses: 10.99.0.<number> and fd99::<number>."""

    def __init__(self, number: int, directory: Path, cgroup: str, survives: bool = False) -> None:
        self.number = number
        self.name = f"host{number}"
        self.ip = f"10.99.0.{number}"
        self.ip6 = f"fd99::{number:x}"
        # as on hardware, the address stays through a power cut: neighbours remember it
        self.mac = f"02:63:63:63:00:{number:02x}"
        self.directory = directory
        self.cgroup = cgroup
        self.pid = 0
        self._survives = survives
        self.root: Path | None = None
        """A directory that is its root, with a layer of its own; None: it has the machine's."""
        self._init: subprocess.Popen[bytes] | None = None
        self._dockerd: subprocess.Popen[bytes] | None = None
        self._spawned: list[subprocess.Popen[bytes]] = []

    # -- up and down -----------------------------------------------------------------------------

    def power_on(self) -> None:
        """Start the host's init in fresh namespaces. Its disk is as it was; no cable, no engine."""
        self.directory.mkdir(parents=True, exist_ok=True)
        ready = self.directory / "ready"
        ready.unlink(missing_ok=True)
        guard = [] if self._survives else list(command.DIES_WITH_US)
        root = str(self.root or "")
        init = [str(Path(__file__).with_name("host_init.sh")), self.name, str(self.directory), root]
        unshare = ["unshare", *NAMESPACES, "--fork", "--kill-child"]
        argv = [*guard, *unshare, "sh", *init, *calicoctl_program()]
        cgroups.make(self.cgroup)
        self._init = command.spawn(self._in_cgroup(argv), self.directory / "init.log")
        try:
            command.wait_until(lambda: self._is_up(ready), 20, f"{self.name} comes up")
        except command.TimedOutError:
            print((self.directory / "init.log").read_text())
            raise
        self.pid = _only_child(self._init.pid)

    def _is_up(self, ready: Path) -> bool:
        if self._init is not None and self._init.poll() is not None:
            raise AssertionError((self.directory / "init.log").read_text())
        return ready.exists()

    def plug_in(self, underlay: NetNs) -> None:
        """Connect the host's eth0 to the underlay's bridge."""
        cable = f"port{self.number}"
        script = (
            f"link add {cable} type veth peer name eth0 address {self.mac} netns {self.pid}\n"
            f"link set {cable} master underlay\nlink set {cable} up\n"
        )
        underlay.run(["ip", "-batch", "-"], stdin=script)
        script = (
            f"addr add {self.ip}/24 dev eth0\naddr add {self.ip6}/64 dev eth0 nodad\n"
            "link set eth0 up\n"
        )
        self.run(["ip", "-batch", "-"], stdin=script, quiet=True)
        self._underlay, self._cable = underlay, cable
        self._await_carrier()

    def cable(self, state: str) -> None:
        """Pull the network cable (`down`) or put it back (`up`)."""
        self._underlay.run(["ip", "link", "set", self._cable, state])
        if state == "up":
            self._await_carrier()

    def _await_carrier(self) -> None:
        # the kernel reports changes of carrier at most once a second; until then nothing is passed
        show = ["ip", "-br", "link", "show", "dev", self._cable]
        command.wait_until(
            lambda: (
                "LOWER_UP" in (line := self._underlay.run(show, quiet=True).out) and " UP " in line
            ),
            5,
            f"the cable of {self.name} is live",
        )

    def power_cut(self) -> None:
        """End everything in the host at once, without a word to anybody. The disk stays."""
        if self._init is None:
            return
        cgroups.kill(self.cgroup)
        for process in (self._init, self._dockerd, *self._spawned):
            if process is not None:
                command.stop(process, signal.SIGKILL)
        self._init = self._dockerd = None
        self._spawned.clear()
        cgroups.remove(self.cgroup)

    def power_cycle(self) -> None:
        """Power cut, then up again with the disk as it was, the cable in, and the engine on."""
        had_engine = self._dockerd is not None
        self.power_cut()
        self.power_on()
        self.plug_in(self._underlay)
        if had_engine:
            self.start_docker()

    # -- programs --------------------------------------------------------------------------------

    def run(
        self,
        what: Command,
        *,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        check: bool = True,
        timeout: float = 240,
        quiet: bool = False,
    ) -> Result:
        """Run a program (a sequence) or a shell line (a string) in the host, as root."""
        argv = ["sh", "-c", what] if isinstance(what, str) else list(what)
        settings = " ".join(f"{key}={value}" for key, value in (env or {}).items())
        show = f"{self.name}$ {settings + ' ' if settings else ''}{command.plain(what)}"
        return command.run(
            self._inside(argv),
            show="" if quiet else show,
            env=self._environment(env),
            stdin=stdin,
            check=check,
            timeout=timeout,
        )

    def calicoctl(
        self,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        check: bool = True,
        timeout: float = 240,
    ) -> Result:
        """Run the command under test in the host."""
        argv = ["calicoctl", *arguments]
        return self.run(argv, env=env, stdin=stdin, check=check, timeout=timeout)

    def docker(self, *arguments: str, check: bool = True, timeout: float = 240) -> Result:
        """Run the Docker client against the host's engine."""
        return self.run(["docker", *arguments], check=check, timeout=timeout)

    def spawn(
        self, argv: list[str], log: str, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a program that stays; it ends with the host at the latest."""
        process = command.spawn(self._inside(argv), self.directory / log, self._environment(env))
        self._spawned.append(process)
        return process

    def on_terminal(
        self, argv: list[str], env: Mapping[str, str] | None = None
    ) -> contextlib.AbstractContextManager[Terminal]:
        """Run a program on a terminal: `CTRL_C` interrupts it and all that it has started."""
        # Who runs the tests in the background of a script ignores what Ctrl-C sends.
        listens = ["env", "--default-signal=INT"]
        whole = self._inside([*listens, "setsid", "--ctty", "--wait", *argv])
        return terminal.running(whole, self._environment(env))

    def _inside(self, argv: list[str]) -> list[str]:
        return ["nsenter", "--target", str(self.pid), *NAMESPACES, "--", *argv]

    def _environment(self, extra: Mapping[str, str] | None) -> dict[str, str]:
        environment = command.clean_environment()
        environment["PATH"] = f"/run/lab/bin:{environment['PATH']}"
        return environment | dict(extra or {})

    def _in_cgroup(self, argv: list[str]) -> list[str]:
        """The program joins the host's control groups before it starts."""
        joins = "".join(f"echo 0 >{path}/cgroup.procs; " for path in cgroups.make(self.cgroup))
        return ["sh", "-ec", f'{joins}exec "$@"', "join", *argv]

    # -- Docker ----------------------------------------------------------------------------------

    @property
    def docker_directory(self) -> Path:
        """The host's /var/lib/docker, on the machine."""
        return self.directory / "private/var/lib/docker"

    def start_docker(self, env: Mapping[str, str] | None = None) -> None:
        """Start the host's engine as a stock host does: without any option."""
        argv = self._in_cgroup(self._inside(["dockerd"]))
        environment = self._environment(NO_NETWORK | dict(env or {}))
        self._dockerd = command.spawn(argv, self.directory / "dockerd.log", environment)
        try:
            command.wait_until(self._docker_answers, 60, f"the engine of {self.name} answers")
        except AssertionError:
            print("\n".join((self.directory / "dockerd.log").read_text().splitlines()[-20:]))
            raise

    @contextlib.contextmanager
    def docker_hangs(self) -> Iterator[None]:
        """Have the engine stand still while the block runs."""
        assert self._dockerd is not None
        nsenter = self._dockerd.pid
        engine = _only_child(nsenter)
        try:
            os.kill(engine, signal.SIGSTOP)
            # nsenter stops itself when it sees that; told to go on before the engine was, it might
            # see it again, and stop for good.
            command.await_standstill(nsenter)
            yield
        finally:
            os.kill(engine, signal.SIGCONT)
            os.kill(nsenter, signal.SIGCONT)

    def stop_docker(self, how: str = "TERM") -> None:
        """Stop the engine as a service manager does, or by another signal."""
        pid = Path(f"/proc/{self.pid}/root/run/docker.pid")
        self.run(f"kill -{how} {pid.read_text()}", quiet=True)
        if self._dockerd is not None:
            self._dockerd.wait(30)
        self._dockerd = None

    def _docker_answers(self) -> bool:
        if self._dockerd is not None and self._dockerd.poll() is not None:
            raise AssertionError(f"the engine of {self.name} ended")
        connection = _UnixConnection(f"/proc/{self.pid}/root/run/docker.sock")
        with (
            contextlib.suppress(OSError, http.client.HTTPException),
            contextlib.closing(connection),
        ):
            connection.request("GET", "/_ping", headers={"Connection": "close"})
            with connection.getresponse() as answer:
                return answer.status == 200
        return False

    def container_pid(self, container: str) -> int:
        """The first process of a container, as numbered in the host."""
        line = f"docker inspect --format '{{{{.State.Pid}}}}' {container}"
        return int(self.run(line, quiet=True).out)

    # -- the disk --------------------------------------------------------------------------------

    def wipe(self) -> None:
        """Throw away all that the host has on disk."""
        shutil.rmtree(self.directory, ignore_errors=False)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(self._path)
        except OSError:
            self.close()
            raise


def _only_child(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
