"""The container commands, on a machine of fakes."""

import json
from dataclasses import replace

import pytest

from calico_ctl.host import intents
from tests.support.cli import NOT_ROOT, Cli
from tests.support.machine import CONTAINER, Machine


@pytest.fixture
def machine(tmp_path, monkeypatch) -> Machine:
    monkeypatch.setattr(intents, "DIRECTORY", tmp_path)
    return Machine()


@pytest.fixture
def cli(machine) -> Cli:
    return Cli(platform=machine)


def test_an_address_is_added_and_removed(cli, machine):
    assert cli.done("container", "add", "web", "192.168.1.5") == "IP 192.168.1.5 added to web\n"
    assert CONTAINER in cli.done("container", "web", "endpoint", "show")
    assert cli.done("container", "remove", "web") == "Removed Calico from web\n"
    assert machine.left() == []


def test_profiles_of_a_container_are_set(cli):
    cli.done("profile", "add", "db")
    cli.done("container", "add", "web", "ipv4")
    cli.done("container", "web", "profile", "append", "db")
    assert " db " in cli.done("container", "web", "endpoint", "show")
    cli.done("container", "web", "profile", "set")
    assert " db " not in cli.done("container", "web", "endpoint", "show")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["add", "web", "192.168.1"], "invalid IP address '192.168.1'"),
        (["add", "web", "192.168.1.5/33"], "invalid CIDR"),
        (["add", "web", "ipv4", "--interface=a/b"], "invalid interface name"),
        (["add", "web", "ipv4", "--timeout=soon"], "invalid timeout"),
        (["add", "web", "ipv4", "--timeout=0"], "invalid timeout"),
        (["add", "web", "ipv4", "--timeout=nan"], "invalid timeout"),
        (["add", "web", "ipv4", "--timeout=inf"], "invalid timeout"),
        (["add", "web", "ipv4", "--timeout=3601"], "invalid timeout"),
        (["add", "web", "ipv4", "--interface=sixteen-letters-"], "invalid interface name"),
        (["add", "nosuch", "ipv4"], "nosuch"),
        (["remove", "web"], "web has no Calico networking"),
        (["web", "profile", "append", "a/b"], "invalid profile name 'a/b'"),
        (["web", "profile", "append"], "container web has no Calico networking on this host"),
        (["web", "ip", "add", "192.168.1.5"], "container web has no Calico networking"),
        (["web", "ip", "remove", "192.168.1.5"], "container web has no Calico networking"),
        (["../info", "endpoint", "show"], "invalid container '../info'"),
        (["wëb", "profile", "set"], "invalid container"),
        (["add", "a b", "ipv4"], "invalid container 'a b'"),
        (["remove", ""], "invalid container ''"),
        (["add", "web"], "Usage:"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(cli, machine, words, message):
    assert message in cli.refused("container", *words)
    assert machine.network.plugged == {}


@pytest.mark.parametrize("words", [["add", "web", "192.168.1.5"], ["remove", "web"]])
def test_only_root_changes_the_network(machine, words):
    finished = Cli(platform=machine, user=NOT_ROOT).run("container", *words)
    assert finished.exit == 2
    assert "root" in finished.err
    assert machine.left() == []


@pytest.mark.parametrize("words", [["add", "web", "192.168.1.5"], ["remove", "web"]])
def test_nothing_is_asked_for_somebody_who_is_not_root(words):
    # its Docker, network and clock raise when they are asked for anything
    untouched = Cli(user=NOT_ROOT)
    assert untouched.run("container", *words).exit == 2
    assert (untouched.store.reads, untouched.store.writes) == (0, 0)


def test_a_profile_is_appended_removed_and_has_to_exist(cli):
    cli.done("profile", "add", "db")
    cli.done("container", "add", "web", "ipv4")
    assert "appended" in cli.done("container", "web", "profile", "append", "db")
    assert "removed" in cli.done("container", "web", "profile", "remove", "db")
    assert "does not have profile db" in cli.refused("container", "web", "profile", "remove", "db")
    assert "nosuch does not exist" in cli.refused("container", "web", "profile", "set", "nosuch")


def test_more_addresses_are_added_and_removed(cli, machine):
    cli.done("container", "add", "web", "192.168.1.5")
    said = cli.done("container", "web", "ip", "add", "192.168.1.6")
    assert said == "IP 192.168.1.6 added to web\n"
    said = cli.done("container", "web", "ip", "remove", "192.168.1.5", "--interface=eth1")
    assert said == "IP 192.168.1.5 removed from web\n"
    (interface,) = machine.network.plugged.values()
    assert [str(ip) for ip in interface.addresses] == ["192.168.1.6"]


def test_profiles_need_a_name_and_each_only_once(cli):
    cli.done("container", "add", "web", "ipv4")
    cli.done("profile", "add", "db")
    assert "at least one profile" in cli.refused("container", "web", "profile", "append")
    err = cli.refused("container", "web", "profile", "append", "db", "db")
    assert "db only once" in err


def test_endpoints_of_a_container_are_shown_as_data_and_by_id(cli):
    cli.done("container", "add", "web", "192.168.1.5")
    shown = json.loads(cli.done("container", "web", "endpoint", "show", "--output=json"))
    (item,) = shown["items"]
    assert (shown["kind"], item["workload"], item["addresses"]) == (
        "endpoint",
        CONTAINER,
        ["192.168.1.5"],
    )
    assert cli.done("container", "web", "endpoint", "show", "--output=name") == item["id"] + "\n"


def test_an_endpoint_of_a_container_that_cannot_be_read_is_warned_of(cli):
    cli.done("container", "add", "web", "192.168.1.5")
    (key,) = [
        key for key in cli.contents() if key.startswith("/calico/host") and "/endpoint/" in key
    ]
    cli.store.put(key, "nonsense")
    finished = cli.run("container", "web", "endpoint", "show")
    assert finished.exit == 0
    assert f"{key} is left out" in finished.err
    assert "cannot be read" in cli.refused("container", "web", "profile", "set")


def test_T22_a_container_with_two_endpoints_is_told_so(cli):
    for id_ in ("e1", "e2"):
        cli.endpoint(id_, workload=CONTAINER)
    for words in (["profile", "set"], ["profile", "append", "db"], ["ip", "add", "ipv4"]):
        cli.run("profile", "add", "db")
        err = cli.refused("container", "web", *words)
        assert "2 endpoints" in err
        assert "None" not in err
    assert "already has Calico networking" in cli.refused("container", "add", "web", "ipv4")


def test_T43_what_a_namespace_path_got_is_found_by_it(cli, machine):
    # A namespace, though of another kind, that is not the one that this test is in.
    path = "/proc/self/ns/mnt"
    cli.done("container", "add", path, "192.168.1.5")
    cli.done("profile", "add", "db")
    cli.done("container", path, "profile", "append", "db")
    cli.done("container", path, "ip", "add", "192.168.1.6")
    shown = cli.done("container", path, "endpoint", "show")
    assert "192.168.1.6" in shown
    assert " db " in shown
    assert cli.done("endpoint", path, "profile", "show", "--output=name") == "db\n"
    cli.done("container", "remove", path)
    assert machine.left() == []


@pytest.mark.parametrize(
    "words",
    [
        ["add", "web", "ipv4"],
        ["web", "ip", "add", "192.168.1.6"],
        ["web", "ip", "remove", "192.168.1.6"],
    ],
)
def test_a_container_of_an_engine_elsewhere_is_not_touched(cli, machine, words):
    machine.docker.local = False
    err = cli.refused("container", *words)
    assert "container web is not on this host: DOCKER_HOST names an engine elsewhere" in err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"running": False, "pid": 0}, "container web is not running"),
        ({"network_mode": "host"}, "container web has no network of its own"),
    ],
)
def test_a_container_that_cannot_have_an_interface_is_refused(cli, machine, changes, message):
    machine.docker.containers["web"] = replace(machine.docker.containers["web"], **changes)
    assert message in cli.refused("container", "add", "web", "ipv4")


def test_the_hosts_own_namespace_is_not_touched(cli, tmp_path):
    err = cli.refused("container", "add", "/proc/self/ns/net", "ipv4")
    assert "this host's own network namespace" in err
    err = cli.refused("container", "add", str(tmp_path), "ipv4")
    assert "invalid network namespace" in err


@pytest.mark.parametrize("text", ["ipv4", "IPv6", "192.168.1.0/24", "192.168.1.5/32"])
def test_T28_only_an_address_can_be_removed(cli, text):
    cli.done("container", "add", "web", "192.168.1.5")
    err = cli.refused("container", "web", "ip", "remove", text)
    assert f"invalid IP address '{text}'" in err


def test_T3_removing_what_was_never_added_fails(cli):
    assert "has no Calico networking" in cli.refused("container", "remove", "web")
    assert "no container nosuch" in cli.refused("container", "remove", "nosuch")
