"""The hidden command that runs the services."""

from tests.support.cli import NOT_ROOT, Cli


def test_only_root_runs_services():
    assert Cli(user=NOT_ROOT).run("daemon", "felix").exit == 2


def test_an_unknown_service_is_refused():
    finished = Cli().run("daemon", "nosuch")
    assert finished.exit == 1
    assert "Usage:" in finished.err


def test_it_is_not_listed_but_explains_itself():
    assert "daemon" not in Cli().done("--help")
    assert "lifecycle" in Cli().done("daemon", "--help")
