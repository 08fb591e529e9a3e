"""What the README tells to type works: the demo, and what daily use is made of."""

import re
import shutil
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from calico_ctl import __version__
from calico_ctl.docker_api.image import DEFAULT_IMAGE
from tests.support import command, document, frozen, images
from tests.support.cluster import Cluster
from tests.support.document import Step
from tests.support.frozen import Frozen
from tests.support.host import Host
from tests.support.lab import Lab
from tests.support.paths import CHECKOUT

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]

WITH_NETWORK = {"DOCKER_HOST": "unix:///run/lab/machine.sock"}
"""The engine of a lab host reaches nothing that an image could be built from; this one does."""
TRUSTED = "etc/ssl/certs/ca-certificates.crt"
IMAGE = "calico-node.tar"


def block_with(text: str) -> str:
    """The first block of the README that has this text."""
    blocks = (CHECKOUT / "README.md").read_text().split("```")[1::2]
    return next(block.partition("\n")[2] for block in blocks if text in block)


def test_the_demo_ends_well_and_prints_every_line_that_the_readme_shows(
    frozen_calicoctl: Frozen,
) -> None:
    """Its hosts have nothing but the one file; other tests run what is shown from the sources."""
    own = {"PYTHONPATH": str(CHECKOUT), "CALICOCTL": str(frozen_calicoctl.file)}
    environment = command.clean_environment(own)
    demo = [sys.executable, str(CHECKOUT / "scripts" / "demo.py"), "show"]
    printed = command.run(demo, env=environment, timeout=800).out.splitlines()
    block = block_with("host1$ sudo calicoctl node")
    shown = [line for line in block.splitlines() if line and not line.startswith("All as it")]
    assert len(shown) > 15
    assert [line for line in shown if line not in printed] == []
    assert re.fullmatch(r"All as it should be \([0-9]+ s\)\.", printed[-1])


def test_every_command_of_daily_use_works(lab1: Lab) -> None:
    """In their order, on a host that has two containers, of which `client` gets no profile."""
    (host,) = lab1.hosts
    cluster = Cluster([host])
    cluster.run(host, "web", "--net=none")
    cluster.run(host, "client", "--net=none")
    lines = [
        line.partition(" #")[0].removeprefix("sudo ").strip()
        for line in block_with("calicoctl drops --follow").splitlines()
    ]
    assert len(lines) > 7
    for line in lines:
        if line.startswith("calicoctl container add web"):
            cluster.calicoctl(host, "container add client 192.168.1.9")
        if line == "calicoctl status":
            host.calicoctl("status", "--wait=60")
        if line != "calicoctl drops --follow":  # it would not end; test_drops.py follows it
            denied = line.startswith("calicoctl explain client web")
            said = host.run(line, check=False)
            assert (said.code, said.out.startswith("denied: ")) == (int(denied), denied)

    host.run(block_with("docker run -e CALICO_IP"))
    host.run("ping -c 1 -w 60 192.168.1.6")


@pytest.fixture
def bare2(frozen_calicoctl: Frozen) -> Iterator[Lab]:
    """Two hosts that have Debian, Docker and the one file: no Python, and no image of ours."""
    with Lab(2, root=frozen.debian_with_docker()) as lab:
        for host in lab.hosts:
            program = inside(host, "usr/local/bin/calicoctl")
            shutil.copy(frozen_calicoctl.file, program)
            program.chmod(0o755)
        yield lab


def inside(host: Host, path: str) -> Path:
    return Path(f"/proc/{host.pid}/root/{path}")


def test_one_file_and_the_readme_get_two_fresh_hosts_talking_with_a_policy(bare2: Lab) -> None:
    first, second = bare2.hosts
    for host in bare2.hosts:
        assert host.run("which python3 etcd bird nft", check=False).out == ""
        assert not inside(host, str(CHECKOUT)).exists()
    build_the_node_image(first)
    shutil.copy(inside(first, IMAGE), inside(second, IMAGE))
    for host in bare2.hosts:
        loaded = host.calicoctl("node", "image", "load", f"/{IMAGE}")
        assert loaded.out == f"{DEFAULT_IMAGE} is there now\n"

    steps = typed(block_with("host1$ sudo calicoctl node"))
    assert document.do(steps, {host.name: host for host in bare2.hosts}) > 10


def build_the_node_image(host: Host) -> None:
    """Have it in a file, from what is inside the one file."""
    images.ensure(node_image=True)
    # pip inside the build trusts what this machine trusts
    shutil.copy(f"/{TRUSTED}", inside(host, TRUSTED))
    with images.without_node_image():
        argv = ["node", "image", "save", f"/{IMAGE}"]
        said = host.calicoctl(*argv, env=WITH_NETWORK, timeout=800)
        argv = ["--entrypoint=/opt/calico/venv/bin/python3", DEFAULT_IMAGE]
        run = ["run", "--rm", "--net=none", *argv, "/opt/calico/calicoctl.py", "version"]
        assert images.docker(*run) == f"{__version__}\n"
    assert f"{DEFAULT_IMAGE} is in /{IMAGE}" in said.out
    progress = said.err.splitlines()
    assert f"building {DEFAULT_IMAGE} on " in progress[0]
    assert any("COPY calico_ctl " in line for line in progress)
    with tarfile.open(inside(host, IMAGE)) as archive:
        assert "manifest.json" in archive.getnames()


def typed(conversation: str) -> list[Step]:
    """What the README shows as typed, with its answers; not those that it leaves out."""
    shown = "".join(
        f"{line}\n"
        for line in conversation.splitlines()
        if not line.startswith(("  (", "All as it"))
    )
    block = document.Block("console", 0, shown)
    return [replace(step, shown=step.shown or None) for step in document.conversation(block, "")]
