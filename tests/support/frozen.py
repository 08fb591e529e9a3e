"""calicoctl without Python: what build_binary.sh builds, and a Debian without Python for it."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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


@dataclass(frozen=True)
class Frozen:
    """What was built."""

    dist: Path

    @property
    def file(self) -> Path:
        """The program as one file."""
        return self.dist / "calicoctl"

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
    command.run([str(CHECKOUT / "build_binary.sh")], env=os.environ, timeout=800)
    return Frozen(CHECKOUT / "dist")


@contextmanager
def debian() -> Iterator[Root]:
    """Give a fresh Debian: the image that the node image is built on."""
    subprocess.run([CHECKOUT / "scripts/engine"], check=True, stdout=subprocess.DEVNULL)
    image = command.run([str(CHECKOUT / "scripts/base_image")], timeout=600).out.strip()
    container = command.run(["docker", "create", image, "true"]).out.strip()
    place = Path(tempfile.mkdtemp(prefix="calico-debian-", dir="/var/tmp"))
    try:
        copy = 'docker export "$1" | tar -xf - -C "$2"'
        command.run(["sh", "-ec", copy, "copy", container, str(place)])
        # It would leave manuals out.
        (place / "etc/dpkg/dpkg.cfg.d/slim").unlink(missing_ok=True)
        yield Root(place)
    finally:
        command.run(["docker", "rm", container])
        shutil.rmtree(place)
