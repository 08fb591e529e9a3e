"""The container commands, on a machine of fakes."""

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
        (["web", "profile", "append"], "at least one profile"),
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
