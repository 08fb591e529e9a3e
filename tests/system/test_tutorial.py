"""The tutorial and how-to pages do on two Docker hosts what they say, word for word."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import cluster as calico
from tests.support import document, leftovers
from tests.support.frozen import Frozen
from tests.support.lab import Lab
from tests.support.paths import CHECKOUT

pytestmark = pytest.mark.system

TUTORIALS = CHECKOUT / "docs/tutorials"
HOW_TO = CHECKOUT / "docs/how-to"


@pytest.fixture
def one_file(lab2: Lab, frozen_calicoctl: Frozen) -> Iterator[None]:
    """The hosts have for a while what a reader has: calicoctl as one file."""
    programs = [Path(f"/proc/{host.pid}/root/run/lab/bin/calicoctl") for host in lab2.hosts]
    before = [program.read_text() for program in programs]
    for program in programs:
        program.write_text(f'#!/bin/sh\nexec {frozen_calicoctl.file} "$@"\n')
    yield
    for program, text in zip(programs, before, strict=True):
        program.write_text(text)


def follow(lab: Lab, page: Path) -> int:
    return document.play(page, {host.name: host for host in lab.hosts})


@pytest.mark.usefixtures("one_file")
def test_the_tutorial_works_from_nothing_and_leaves_nothing(lab2: Lab) -> None:
    assert follow(lab2, TUTORIALS / "first-network.md") > 12
    assert follow(lab2, TUTORIALS / "first-policy.md") > 20
    for host in lab2.hosts:
        assert leftovers.on_host(host) == []


@pytest.mark.parametrize("page", ["add-a-container.md", "use-ipv6.md", "isolate-with-profiles.md"])
def test_what_a_how_to_page_says_works_on_hosts_that_are_nodes(lab2: Lab, page: str) -> None:
    cluster = calico.start(lab2, ipv6=False)
    lab2.hosts[1].run(f"echo export ETCD_AUTHORITY={calico.ETCD} >{document.STATE}", quiet=True)
    try:
        assert follow(lab2, HOW_TO / page) > 5
    finally:
        for host in lab2.hosts:
            calico.remove_containers(cluster, host)
    assert cluster.calicoctl(lab2.hosts[0], "profile show --output=name").out == ""
