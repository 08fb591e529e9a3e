"""Images for hosts that have no registry and no network.

The machine's own engine makes them. A spare host loads them once; the layers in its Docker
directory (the seed) are then hard-linked into each new host: no time, no space. Docker never
changes those files in place, so hosts do not see each other's changes.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import command
from tests.support.paths import CHECKOUT, STATE

if TYPE_CHECKING:
    from tests.support.host import Host

BUSYBOX = "calico/lab-busybox:latest"
SEEDED = ("image", "overlay2")
"""What of a Docker directory makes up its images."""


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
    fresh = STATE / f"{seed.name}.{os.getpid()}"
    fresh.mkdir(parents=True)
    for part in SEEDED:
        shutil.move(spare.docker_directory / part, fresh / part)
    for old in STATE.glob("seed-????????????????"):
        shutil.rmtree(old)
    fresh.rename(seed)


def plant(seed: Path, host: "Host") -> None:
    """Give the images to a host whose engine has not run yet."""
    for part in SEEDED:
        argv = ["cp", "--archive", "--link", str(seed / part), str(host.docker_directory)]
        command.run(argv, show="")
