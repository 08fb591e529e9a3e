"""What the README tells to type works: the demo, and what daily use is made of."""

import re
import sys

import pytest

from tests.support import command
from tests.support.cluster import Cluster
from tests.support.frozen import Frozen
from tests.support.lab import Lab
from tests.support.paths import CHECKOUT

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]


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
