"""calicoctl without Python: what build_binary.sh builds, and a Debian without Python for it."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import command
from tests.support.command import Result
from tests.support.paths import CHECKOUT

_ENTER = """
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
[ -z "$2" ] || mount -t tmpfs -o "$2" tmpfs "$1/tmp"
if [ "$3" = docker ]; then
    : >"$1/run/docker.sock"
    mount --bind /run/docker.sock "$1/run/docker.sock"
fi
root=$1
shift 3
exec chroot "$root" "$@"
"""


BUILD = "make deb"
"""What people type who build it."""


@dataclass(frozen=True)
class Frozen:
    """What was built."""

    dist: Path

    @property
    def file(self) -> Path:
        """The program as one file."""
        return self.dist / "calicoctl"

    @property
    def package(self) -> Path:
        """The Debian package."""
        (found,) = self.dist.glob("calicoctl_*.deb")
        return found

    @property
    def directory(self) -> Path:
        """The program as a directory, as it is in the tar file."""
        (found,) = (self.dist.parent / "build").glob("calicoctl-*-linux-*")
        return found

    @property
    def python(self) -> Path:
        """The interpreter that was frozen: it has the run-time packages, and setuptools."""
        return self.dist.parent / ".venv-binary/bin/python"


@dataclass(frozen=True)
class Root:
    """A Debian in a directory: files only, nothing runs there by itself."""

    path: Path

    def run(
        self,
        *argv: str,
        tmp: str = "",
        docker: bool = False,
        env: Mapping[str, str] | None = None,
        check: bool = True,
    ) -> Result:
        """Run a program there as root.

        `tmp`: mount options of a /tmp of its own; `docker`: the machine's Docker Engine is there.
        """
        unshare = ["unshare", "--mount", "--net", "--fork", "--kill-child"]
        options = [str(self.path), tmp, "docker" if docker else ""]
        return command.run(
            [*unshare, "sh", "-ec", _ENTER, "enter", *options, *argv],
            show=f"debian# {command.plain(argv)}",
            env=command.clean_environment(env),
            check=check,
            timeout=800,
        )

    def has(self, path: str) -> bool:
        """Say whether there is such a file, or a link that leads to one."""
        return (self.path / path.lstrip("/")).exists()


def build() -> Frozen:
    """Build all forms."""
    # As whoever runs the tests would: with their Python, and their settings of pip.
    command.run(["sh", "-c", f"cd {CHECKOUT} && {BUILD}"], env=os.environ, timeout=800)
    return Frozen(CHECKOUT / "dist")


@contextmanager
def debian() -> Iterator[Root]:
    """Give a fresh Debian: the image that the node image is built on."""
    subprocess.run([CHECKOUT / "scripts/engine"], check=True, stdout=subprocess.DEVNULL)
    image = command.run([str(CHECKOUT / "scripts/base_image")], timeout=600).out.strip()
    container = command.run(["docker", "create", image, "true"]).out.strip()
    try:
        with _root('docker export "$1" | tar -xf - -C "$2"', container) as root:
            # It would leave manuals out.
            (root.path / "etc/dpkg/dpkg.cfg.d/slim").unlink(missing_ok=True)
            yield root
    finally:
        command.run(["docker", "rm", container])


@contextmanager
def newer_debian() -> Iterator[Root]:
    """Give a fresh Debian of the release after that of this machine; skip where none can be had."""
    made = command.run([str(CHECKOUT / "scripts/newer_debian")], check=False, timeout=800)
    if made.code != 0:
        pytest.skip(made.err.strip().rpartition("\n")[2])
    with _root('tar -xf "$1" -C "$2"', made.out.strip()) as root:
        yield root


def debian_with_docker() -> Path:
    """Return the root of a fresh Debian with an engine, for hosts; skip where none can be had."""
    made = command.run([str(CHECKOUT / "scripts/debian_with_docker")], check=False, timeout=800)
    if made.code != 0:
        pytest.skip(made.err.strip().rpartition("\n")[2])
    return Path(made.out.strip())


@contextmanager
def _root(unpack: str, what: str) -> Iterator[Root]:
    place = Path(tempfile.mkdtemp(prefix="calico-debian-", dir="/var/tmp"))
    try:
        command.run(["sh", "-ec", unpack, "unpack", what, str(place)])
        place.chmod(0o755)
        yield Root(place)
    finally:
        shutil.rmtree(place)
