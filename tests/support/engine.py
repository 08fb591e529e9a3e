"""A Docker Engine of a test's own: it can be killed and started again, and nobody else uses it.

Like the one of scripts/engine it changes nothing on this machine: no bridge, no firewall rule, no
kernel setting. Its image is one static program and its many names.
"""

import contextlib
import io
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support import command, wire
from tests.support.wire import Wire

IMAGE = "calico/test-busybox:latest"
_NO_NETWORK = ("--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false")


class OwnEngine:
    """dockerd below a directory; its socket is `socket`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket = str(directory / "docker.sock")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        argv = [
            *("dockerd", f"--data-root={self.directory}/data", f"--exec-root={self._run}"),
            *(f"--pidfile={self.directory}/pid", f"--host=unix://{self.socket}"),
            *(*_NO_NETWORK, "--ip-masq=false", "--experimental"),
        ]
        log = self.directory / "log"
        self._process = command.spawn([*command.DIES_WITH_US, *argv], log)
        try:
            command.wait_until(self._answers, 60, "the engine answers")
        except AssertionError:
            print(log.read_text()[-2000:])
            raise

    def stop(self) -> None:
        """Stop it as a service manager does."""
        if self._process is not None:
            command.stop(self._process, wait=30)
        self._process = None

    def kill(self) -> None:
        """End it at once, and its containerd, which is in its group."""
        assert self._process is not None
        command.stop(self._process, signal.SIGKILL)
        # Where nobody buries the dead, their numbers would be taken for theirs.
        for name in ("pid", "run/containerd/containerd.pid"):
            (self.directory / name).unlink(missing_ok=True)
        self._process = None

    def import_image(self) -> None:
        """Have the image."""
        with Wire(self.socket) as connection:
            target = f"POST /images/create?fromSrc=-&repo={IMAGE}"
            kind = {"Content_Type": "application/x-tar"}
            answer = connection.ask(f"{target}&changes=CMD%20sh", _busybox(), **kind)
        assert answer.status == 200, answer
        assert b"error" not in answer.body, answer

    @property
    def pid(self) -> int:
        """The daemon's process."""
        return int((self.directory / "pid").read_text())

    @property
    def _run(self) -> Path:
        return self.directory / "run"

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError("the engine ended")
        with contextlib.suppress(OSError, wire.EndedError), Wire(self.socket) as connection:
            return connection.ask("GET /_ping").status == 200
        return False

    def remove(self) -> None:
        """Stop it, and leave nothing behind: no container of its, no mount, no file."""
        self.stop()
        for shim in self._processes():
            for child in _children(shim):
                os.kill(child, signal.SIGKILL)
            os.kill(shim, signal.SIGKILL)
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for mount in sorted(mounts, reverse=True):
            if mount.startswith(f"{self.directory}/"):
                subprocess.run(["umount", "--lazy", mount], check=False)
        shutil.rmtree(self.directory)

    def _processes(self) -> list[int]:
        """Processes that were started for this directory; its name is nobody else's."""
        mark, found = str(self.directory).encode(), []
        for each in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if mark in each.read_bytes():
                    found.append(int(each.parent.name))
        return found


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


@contextlib.contextmanager
def own_engine() -> Iterator[OwnEngine]:
    """A running engine with the image; gone afterwards, with its containers."""
    with tempfile.TemporaryDirectory(prefix="calico-engine-") as parent:
        directory = Path(parent) / "e"
        directory.mkdir()
        engine = OwnEngine(directory)
        try:
            engine.start()
            engine.import_image()
            yield engine
        finally:
            engine.remove()


def _busybox() -> bytes:
    """The image's files as a tar archive."""
    program = shutil.which("busybox") or "/bin/busybox"
    applets = subprocess.run([program, "--list"], check=True, stdout=subprocess.PIPE, text=True)
    with io.BytesIO() as stream, tarfile.open(fileobj=stream, mode="w") as archive:
        archive.add(program, "bin/busybox")
        for applet in applets.stdout.split():
            if applet != "busybox":
                _add_link(archive, f"bin/{applet}")
        for name, text in (
            ("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n"),
            ("etc/group", b"root:x:0:\n"),
            ("tmp/empty", b""),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text))
        archive.close()
        return stream.getvalue()


def _add_link(archive: tarfile.TarFile, name: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
    archive.addfile(entry)
