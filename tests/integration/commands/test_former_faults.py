"""Faults of the tool of 2015 that showed in more than one command, each named by its number."""

import json
import re

import pytest

from calico_ctl.commands import COMMANDS
from calico_ctl.datastore import profiles
from calico_ctl.host import node_name
from tests.support.cli import Cli
from tests.support.machine import FakeDocker
from tests.support.paths import CHECKOUT

# What was refused, or not there, and ended with 0 all the same.
REFUSED = (
    "nonsense",
    "profile remove nobody",
    "profile remove web",
    "profile web tag remove nothing",
    "profile web rule remove inbound --at=9",
    "profile web rule remove inbound deny udp",
    "pool remove 10.70.0.0/16",
    "pool remove 10.65.0.0/16",
    "container remove nobody",
    "ipam release 10.65.9.9 --wait=0s",
    "endpoint e1 profile append nobody",
    "endpoint e1 profile remove db",
    "endpoint e1 profile remove web db",
    "endpoint e9 profile show",
    "bgp peer remove 10.99.0.9",
    "node bgp peer remove 10.99.0.9",
)
# What was as it shall be already.
NOTHING_TO_DO = (
    "profile add web",
    "profile web tag add web",
    "profile web rule add outbound allow",
    "pool add 10.65.0.0/16",
    "endpoint e1 profile append web",
    "endpoint e1 profile set web",
    "config felix loglevel --remove",
)


@pytest.fixture
def cli() -> Cli:
    """Two profiles, one of them in use, and a pool."""
    made = Cli()
    made.platform.docker = FakeDocker()
    for name in ("web", "db"):
        profiles.create(made.store, name)
    made.done("pool", "add", "10.65.0.0/16")
    made.endpoint("e1", "10.65.0.1", profiles=("web",))
    return made


@pytest.mark.parametrize("line", REFUSED)
def test_T3_what_is_refused_or_not_there_is_a_failure(cli, line) -> None:
    assert cli.refused(*line.split()).startswith("error: ")


@pytest.mark.parametrize("line", NOTHING_TO_DO)
def test_T3_what_needs_no_doing_is_none_and_changes_nothing(cli, line) -> None:
    before = cli.contents()
    cli.done(*line.split())
    assert cli.contents() == before


def test_T29_an_empty_setting_is_named_and_etcd_may_be_anywhere(shell) -> None:
    assert "invalid ETCD_AUTHORITY ''" in shell.refused("pool show", ETCD_AUTHORITY="")
    for option in ("--ip=", "--ip6="):
        assert f"invalid {option[:-1]} ''" in shell.refused(f"node {option}")
    # Nobody is at the first two, which are written as they have to be; the third answers.
    several = f"[::1]:1,localhost:1,{shell.authority}"
    assert shell.run("pool show", ETCD_AUTHORITY=several).exit == 0


def test_T30_errors_and_remarks_are_not_among_the_data(shell) -> None:
    shell.done("profile add web")
    shell.done("profile web rule add inbound allow tcp")
    again = shell.run("profile web rule add inbound allow tcp")
    assert (again.exit, again.out) == (0, "")
    assert "already" in again.err
    failed = shell.run("profile nobody rule show --output=json")
    assert (failed.exit, failed.out) == (1, "")
    assert failed.err.startswith("error: profile nobody does not exist\n")


def test_T31_a_host_has_one_name_whatever_the_environment_says(shell, etcd) -> None:
    shell.done("node bgp peer add 10.99.0.9 as 65000", HOSTNAME="elsewhere")
    shown = shell.done("node bgp peer show --output=json", HOSTNAME="nowhere")
    assert [each["hostname"] for each in json.loads(shown)["items"]] == [node_name.current()]
    assert "elsewhere" not in str(etcd.keys())


@pytest.mark.parametrize("option", ["--kubernetes", "--rkt"])
def test_T37_nothing_is_downloaded_that_is_then_run(cli, option) -> None:
    assert f"error: `{option}` is no more\n" in cli.refused("node", option)
    fetching = re.compile(r"\b(wget|urlretrieve|curl)\b")
    image = [path for path in (CHECKOUT / "calico_node").rglob("*") if path.is_file()]
    ours = [*image, *(CHECKOUT / "calico_ctl").rglob("*.py")]
    assert len(ours) > len(COMMANDS)
    assert [path for path in ours if fetching.search(path.read_text(errors="replace"))] == []
