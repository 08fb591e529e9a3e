"""The hidden command that runs the services."""

import pytest

from tests.support.cli import NOT_ROOT, Cli


@pytest.mark.parametrize(
    "service", ["felix", "routing", "lifecycle", "docker-proxy", "metrics", "cleanup"]
)
def test_only_root_runs_services(service):
    cli = Cli(user=NOT_ROOT)
    finished = cli.run("daemon", service)
    assert finished.exit == 2
    assert "root" in finished.err
    assert (cli.store.reads, cli.store.writes) == (0, 0)


def test_an_unknown_service_is_refused():
    finished = Cli().run("daemon", "nosuch")
    assert finished.exit == 1
    assert "Usage:" in finished.err


def test_it_is_not_listed_but_explains_itself():
    assert "daemon" not in Cli().done("--help")
    shown = Cli().done("daemon", "--help")
    assert "lifecycle" in shown
    assert "docker-proxy" in shown
