"""Images for hosts that have no registry and no network.

The machine's own engine makes them. A spare host loads them once; the layers in its Docker
directory (the seed) are then hard-linked into each new host: no time, no space. Docker never
changes those files in place, so hosts do not see each other's changes.
"""

import contextlib
import fcntl
import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from calico_ctl.docker_api.image import DEFAULT_IMAGE
from tests.support import command
from tests.support.paths import CHECKOUT, STATE

if TYPE_CHECKING:
    from tests.support.host import Host

BUSYBOX = "calico/lab-busybox:latest"
SEEDED = ("image", "overlay2")
"""What of a Docker directory makes up its images."""
KEPT_SEEDS = 2
"""With and without the node image; a seed made before the last change is of no use."""


def docker(*arguments: str, stdin: bytes = b"") -> str:
    """Run the Docker client against the machine's own engine."""
    argv = ["docker", *arguments]
    return subprocess.run(argv, input=stdin, check=True, stdout=subprocess.PIPE).stdout.decode()


def ensure(node_image: bool) -> list[str]:
    """Have the images on the machine's engine (started if necessary); give their names."""
    subprocess.run([CHECKOUT / "scripts/engine"], check=True, stdout=subprocess.DEVNULL)
    if not docker("image", "ls", "--quiet", BUSYBOX).strip():
        _make_busybox()
    if not node_image:
        return [BUSYBOX]
    script = CHECKOUT / "scripts/node_image"
    name = subprocess.run([script], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    return [BUSYBOX, name]


def _make_busybox() -> None:
    """An image of one static program and its many names."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        for folder in ("bin", "etc", "tmp", "root", "var/www"):
            (root / folder).mkdir(parents=True)
        shutil.copy(shutil.which("busybox") or "/bin/busybox", root / "bin/busybox")
        applets = subprocess.run(["busybox", "--list"], check=True, stdout=subprocess.PIPE)
        for applet in applets.stdout.decode().split():
            if applet != "busybox":
                (root / "bin" / applet).symlink_to("busybox")
        (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
        (root / "etc/group").write_text("root:x:0:\n")
        archive = subprocess.run(
            ["tar", "--create", "--directory", scratch, "."], check=True, stdout=subprocess.PIPE
        )
    docker("import", "--change", 'CMD ["sh"]', "-", BUSYBOX, stdin=archive.stdout)


def seed_directory(images: list[str]) -> Path:
    """Where the seed of these very images is, or will be."""
    ids = docker("image", "inspect", "--format", "{{.Id}}", *images)
    engine = subprocess.run(["dockerd", "--version"], check=True, stdout=subprocess.PIPE).stdout
    digest = hashlib.sha256(ids.encode() + engine + " ".join(images).encode()).hexdigest()
    return STATE / f"seed-{digest[:16]}"


def make_seed(seed: Path, images: list[str], spare: "Host") -> None:
    """Load the images into a spare host that is up, and keep what its engine made of them."""
    archive = spare.directory / "images.tar"
    docker("save", "--output", str(archive), *images)
    spare.start_docker()
    spare.run(["docker", "load", "--quiet", "--input", str(archive)], quiet=True, timeout=120)
    # the name that everybody knows
    spare.run(["docker", "tag", BUSYBOX, "busybox:latest"], quiet=True)
    spare.stop_docker()
    fresh = spare.directory / "seed"
    fresh.mkdir()
    for part in SEEDED:
        shutil.move(spare.docker_directory / part, fresh / part)
    fresh.rename(seed)
    _remove_old_seeds()


def _remove_old_seeds() -> None:
    seeds = sorted(STATE.glob("seed-*"), key=lambda path: path.stat().st_mtime)
    for old in seeds[:-KEPT_SEEDS]:
        shutil.rmtree(old)


@contextlib.contextmanager
def without_node_image() -> Iterator[None]:
    """Have the machine's engine forget it for a while, though not the steps of its build."""
    kept = "calico/node:kept"
    with locked():
        docker("tag", DEFAULT_IMAGE, kept)
        docker("rmi", DEFAULT_IMAGE)
        try:
            yield
        finally:
            docker("tag", kept, DEFAULT_IMAGE)
            docker("rmi", kept)


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Keep other labs from making or removing seeds meanwhile."""
    with (STATE / "seeds.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def plant(seed: Path, host: "Host") -> None:
    """Give the images to a host whose engine has not run yet."""
    seed.touch()  # in use: the older ones go first
    for part in SEEDED:
        argv = ["cp", "--archive", "--link", str(seed / part), str(host.docker_directory)]
        command.run(argv, show="")
