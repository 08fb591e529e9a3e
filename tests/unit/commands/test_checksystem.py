"""What checksystem shows, says and returns, of checks that are made up."""

import json

import pytest

from calico_ctl.diagnostics import system
from calico_ctl.diagnostics.check import Check, Complaint
from tests.support.cli import NOT_ROOT, Cli, cells
from tests.support.diagnosed import Diagnosed, as_platform

GRAVE = Complaint("etcd is away", "start it")
SLIGHT = Complaint("no ipip here", "leave it", grave=False)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[Check]:
    """The checks that there are; a test fills the list."""
    checks: list[Check] = []
    monkeypatch.setattr(system, "checks", lambda platform: checks)
    return checks


@pytest.fixture
def cli() -> Cli:
    return Cli(as_platform(Diagnosed()))


def check(name: str, complaint: Complaint | None = None) -> Check:

    return Check(name, f"about {name}", lambda: complaint)


def test_all_well_is_a_table_and_nothing_else(cli, found):
    found += [check("veth"), check("etcd")]
    finished = cli.run("checksystem")
    assert (finished.exit, finished.err) == (0, "")
    assert cells(finished.out) == [
        ["Check", "What a node needs", "Result"],
        ["veth", "about veth", "ok"],
        ["etcd", "about etcd", "ok"],
    ]


def test_a_warning_is_said_and_the_machine_will_do(cli, found):
    found.append(check("ipip", SLIGHT))
    finished = cli.run("checksystem")
    assert finished.exit == 0
    assert finished.err == "warning: no ipip here\nhint: leave it\n"
    assert cells(finished.out)[1][2] == "warning"


def test_what_is_grave_is_an_error_after_all_is_shown(cli, found):
    found += [check("etcd", GRAVE), check("ipip", SLIGHT)]
    finished = cli.run("checksystem")
    assert finished.exit == 1
    assert "error: etcd is away\nhint: start it\n" in finished.err
    assert [row[2] for row in cells(finished.out)[1:]] == ["failed", "warning"]


def test_as_data_it_is_one_object(cli, found):
    found += [check("etcd", GRAVE), check("veth")]
    finished = cli.run("checksystem", "--output=json")
    assert finished.exit == 1
    shown = json.loads(finished.out)
    assert (shown["schema"], shown["kind"]) == (1, "check")
    assert shown["items"] == [
        {
            "name": "etcd",
            "about": "about etcd",
            "result": "failed",
            "complaint": "etcd is away",
            "hint": "start it",
        },
        {"name": "veth", "about": "about veth", "result": "ok", "complaint": None, "hint": None},
    ]
    assert cli.run("checksystem", "--output=name").out == "etcd\nveth\n"


def test_fix_says_what_it_mended(cli, found):
    left = [GRAVE]
    found.append(Check("etcd", "", lambda: left[0] if left else None, left.clear))
    assert cli.run("checksystem").exit == 1
    finished = cli.run("checksystem", "--fix")
    assert (finished.exit, finished.err) == (0, "fixed: etcd is away\n")
    assert cells(finished.out)[1][2] == "fixed"
    assert cli.run("checksystem").err == ""


def test_it_needs_root(found):
    finished = Cli(as_platform(Diagnosed()), user=NOT_ROOT).run("checksystem")
    assert finished.exit == 2
    assert "must be run as root" in finished.err
    assert finished.out == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--libnetwork"], "not available yet"), (["--output=xml"], "--output"), (["now"], "")],
)
def test_what_cannot_be_is_refused(cli, found, words, said):
    finished = cli.run("checksystem", *words)
    assert (finished.exit, finished.out) == (1, "")
    assert said in finished.err
