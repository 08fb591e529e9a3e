from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Event

import pytest

from calico_ctl import grammar, settings, usage_text
from calico_ctl.commands import COMMANDS, complete
from calico_ctl.docker_api import container_names
from calico_ctl.errors import DockerUnavailable, InvalidValue
from tests.support.cli import Cli, FakePlatform


@dataclass(slots=True)
class Platform(FakePlatform):
    """One with the settings of a given environment."""

    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def settings(self) -> settings.Settings:
        return settings.read(self.environment)


@pytest.fixture
def cli(monkeypatch) -> Cli:
    monkeypatch.setattr(complete, "SECONDS", 30)
    cli = Cli(Platform())
    cli.done("profile", "add", "web")
    cli.done("profile", "web", "tag", "add", "front")
    cli.done("pool", "add", "10.65.0.0/16")
    cli.endpoint("e1", "10.65.0.1", workload="w1")
    cli.endpoint("e2", "10.65.0.2", host="host2", workload="w2")
    return cli


def candidates(cli: Cli, line: str) -> list[str]:
    """What the last word of a line may become; a space at its end begins a new one."""
    return cli.done("complete", "--", *line.split(" ")).splitlines()


def test_commands_come_first_without_the_hidden_ones(cli) -> None:
    found = candidates(cli, "")
    assert found == [name for name in COMMANDS if COMMANDS[name].summary]
    assert candidates(cli, "help ") == found
    assert cli.done("complete").splitlines() == found


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("pro", ["profile"]),
        ("--v", ["--version"]),
        ("--quiet pro", ["profile"]),
        ("xyzzy ", []),
        ("version ", []),
        ("pool ", ["add", "remove", "range", "show"]),
        ("pool r", ["remove", "range"]),
        ("pool xyzzy ", []),
        ("pool show --ipv", ["--ipv4", "--ipv6"]),
        ("pool show --ipv4 --ipv", []),
        ("pool show --ipv4 --out", ["--output="]),
        ("pool show --output=ya", ["--output=yaml"]),
        ("pool show --output ya", ["yaml"]),
        ("pool show --he", ["--help"]),
        ("pool show --xyzzy ", []),
        ("profile web rule add inb", ["inbound"]),
        ("profile web rule add inbound allow fr", ["from"]),
        ("profile web rule add inbound allow from tag ", ["front", "web"]),
        ("profile web rule add inbound allow from cidr ", ["10.65.0.0/16"]),
        ("profile web tag remove f", ["front"]),
        ("profile remove ", ["tag", "rule", "web"]),
        ("profile w", ["web"]),
        ("pool remove ", ["10.65.0.0/16"]),
        ("endpoint e", ["e1", "e2"]),
        ("endpoint show --workload=", ["--workload=w1", "--workload=w2"]),
        ("endpoint show --orchestrator=", ["--orchestrator=docker"]),
        ("completion f", ["fish"]),
        ("env --shell=", ["--shell=sh", "--shell=fish"]),
        ("apply -f x --dry", ["--dry-run"]),
        ("apply -f x -", ["-f", "--dry-run", "--help", "--quiet"]),
    ],
)
def test_a_word_is_completed_by_what_fits_there(cli, line, expected) -> None:
    assert sorted(candidates(cli, line)) == sorted(expected)


def test_a_store_that_does_not_answer_has_no_names(cli) -> None:
    cli.store.fail_with = "connection refused"
    assert candidates(cli, "profile w") == []
    assert candidates(cli, "profile sh") == ["show"]


def test_a_store_that_hangs_is_not_waited_for(cli, monkeypatch) -> None:
    for_ever = Event()
    monkeypatch.setattr(complete, "SECONDS", 0.01)
    monkeypatch.setattr(cli.store, "tree", lambda _: for_ever.wait())
    assert candidates(cli, "profile w") == []
    for_ever.set()


def test_an_environment_that_names_no_etcd_has_no_names(cli, monkeypatch) -> None:
    def fail(_: object) -> None:
        raise InvalidValue("ETCD_AUTHORITY", "x", "<host>:<port>")

    monkeypatch.setitem(complete._LIVE, "<PROFILE>", fail)
    assert candidates(cli, "profile w") == []


def test_containers_are_those_of_the_engine(cli, monkeypatch) -> None:
    asked = []

    def read(environment: Mapping[str, str], seconds: float) -> list[str]:
        asked.append((dict(environment), seconds))
        return ["client", "web"]

    cli.platform.environment = {"DOCKER_HOST": "unix:///x.sock"}
    monkeypatch.setattr(container_names, "read", read)
    assert candidates(cli, "container remove c") == ["client"]
    assert asked == [({"DOCKER_HOST": "unix:///x.sock"}, 30)]


def test_an_engine_that_does_not_answer_has_no_names(cli, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise DockerUnavailable("it is off")

    monkeypatch.setattr(container_names, "read", fail)
    assert candidates(cli, "container remove ") == ["ip", "endpoint", "profile"]


def test_every_placeholder_that_has_names_is_one_of_a_usage_text() -> None:
    known = set()
    for name in COMMANDS:
        try:
            allowed = grammar.read(usage_text.of(name))
        except ModuleNotFoundError:
            continue
        for pattern in allowed.patterns:
            known |= {
                leaf.value if isinstance(leaf, grammar.Option) else str(leaf)
                for leaf in grammar.leaves(pattern.node)
            }
    in_rules = {"<TAG>", "<CIDR>"}
    assert set(complete._LIVE) - known - in_rules == set()
