import json
from random import Random

import pytest
from netaddr import IPAddress, IPNetwork

from calico_ctl.datastore import addresses, nodes, pools
from calico_ctl.model.node import Node
from calico_ctl.model.pool import Pool
from tests.support.cli import Cli, Finished, cells
from tests.support.machine import FakeClock


@pytest.fixture
def cli() -> Cli:
    """A host on which `web` has 10.0.0.5, and `gone` has left 10.0.0.9 behind."""
    cli = Cli()
    cli.platform.clock = FakeClock()
    pools.create(cli.store, Pool(IPNetwork("10.0.0.0/24")))
    nodes.register(cli.store, Node("host1", IPAddress("172.16.0.1")))
    for owner, ip in (("web", "10.0.0.5"), ("gone", "10.0.0.9")):
        addresses.claim(cli.store, "host1", IPAddress(ip), owner, Random(1))
    cli.endpoint("web", "10.0.0.5")
    return cli


def waited(cli: Cli) -> float:
    return cli.platform.clock.monotonic()


def failed(finished: Finished) -> str:
    """Return what a command printed that did its work and found something wrong."""
    assert finished.exit == 1
    return finished.out


def test_info_says_who_has_an_address(cli) -> None:
    assert {row[0]: row[1] for row in cells(cli.done("ipam", "info", "10.0.0.5"))} == {
        "Field": "Value",
        "address": "10.0.0.5",
        "hostname": "host1",
        "handle": "web",
        "endpoints": "web (docker w1 on host1, active)",
        "block": "10.0.0.0/26",
        "affinity": "host1",
        "pool": "10.0.0.0/24",
    }


def test_info_as_data(cli) -> None:
    told = json.loads(cli.done("ipam", "info", "10.0.0.5", "--output=json"))
    assert (told["schema"], told["kind"]) == (1, "address")
    (item,) = told["items"]
    assert item["endpoints"] == [
        {
            "endpoint": "web",
            "hostname": "host1",
            "orchestrator": "docker",
            "workload": "w1",
            "state": "active",
        }
    ]
    assert list(item)[:3] == ["address", "hostname", "handle"]
    assert cli.done("ipam", "info", "10.0.0.5", "--output=name") == "10.0.0.5\n"


@pytest.mark.parametrize("command", ["info", "release"])
def test_an_address_that_nobody_has_is_an_error(cli, command) -> None:
    assert "address 10.0.0.6 is not assigned" in cli.refused("ipam", command, "10.0.0.6")
    assert "invalid IP address" in cli.refused("ipam", command, "10.0.0")
    assert "address fd80::5 is not assigned" in cli.refused("ipam", command, "fd80::5")
    assert waited(cli) == 0


def test_what_an_endpoint_has_is_not_released(cli) -> None:
    said = cli.refused("ipam", "release", "10.0.0.5")
    assert "belongs to endpoint web of container w1 on host host1" in said
    assert "calicoctl container w1 ip remove 10.0.0.5" in said


def test_what_no_endpoint_has_is_released_after_a_pause(cli) -> None:
    finished = cli.run("ipam", "release", "10.0.0.9")
    assert (finished.exit, finished.out) == (0, "address 10.0.0.9 is free\n")
    assert "looking again in 10 s" in finished.err
    assert waited(cli) == 10
    assert "is not assigned" in cli.refused("ipam", "release", "10.0.0.9")


def test_the_pause_can_be_chosen(cli) -> None:
    assert cli.run("ipam", "release", "10.0.0.9", "--wait=0").err == ""
    for wrong in ("-1", "soon", "2h"):
        assert "invalid --wait" in cli.refused("ipam", "check", f"--wait={wrong}")
    assert waited(cli) == 0


def test_check_names_what_is_wrong_and_changes_nothing(cli) -> None:
    before = cli.contents()
    finished = cli.run("ipam", "check", "--wait=1m")
    assert cells(failed(finished)) == [
        ["Problem", "Where", "What", "State"],
        [
            "leaked",
            "10.0.0.9",
            "is claimed by gone on host host1, but no endpoint has it",
            "found",
        ],
    ]
    assert "hint: `calicoctl ipam check --fix` repairs" in finished.err
    assert waited(cli) == 60
    assert cli.contents() == before


def test_check_repairs_if_it_is_told_to(cli) -> None:
    finished = cli.run("ipam", "check", "--fix")
    assert finished.exit == 0
    assert cells(finished.out)[1][3] == "fixed"
    assert waited(cli) == 10
    assert cli.done("ipam", "check", "--fix") == "nothing is wrong with the addresses\n"
    assert waited(cli) == 10, "where nothing is wrong there is nothing to wait for"


def test_check_fails_as_long_as_something_stays_wrong(cli) -> None:
    cli.endpoint("twin", "10.0.0.5", workload="w2")
    finished = cli.run("ipam", "check", "--fix")
    assert [row[3] for row in cells(failed(finished))[1:]] == ["fixed", "found"]
    assert "hint: take it from all but one" in finished.err
    again = cli.run("ipam", "check")
    assert [row[0] for row in cells(failed(again))[1:]] == ["double"]
    assert "--fix" not in again.err


def test_findings_as_data(cli) -> None:
    told = json.loads(failed(cli.run("ipam", "check", "--output=json")))
    assert told == {
        "schema": 1,
        "kind": "finding",
        "items": [
            {
                "kind": "leaked",
                "subject": "10.0.0.9",
                "message": "is claimed by gone on host host1, but no endpoint has it",
                "hint": "",
                "repairable": True,
                "fixed": False,
                "failure": "",
            }
        ],
    }
    assert failed(cli.run("ipam", "check", "--output=name")) == "10.0.0.9\n"
    cli.done("ipam", "check", "--fix", "--output=name")
    assert json.loads(cli.done("ipam", "check", "--output=json"))["items"] == []
    assert cli.done("ipam", "check", "--output=name") == ""


def test_a_repair_that_did_not_work_says_why(cli, monkeypatch) -> None:
    """The address is claimed anew after the second look."""
    monkeypatch.setattr("calico_ctl.datastore.address_check.repair", lambda *_: False)
    finished = cli.run("ipam", "check", "--fix")
    assert cells(failed(finished))[1][3] == "not fixed: it changed meanwhile"
    assert "--fix" not in finished.err
