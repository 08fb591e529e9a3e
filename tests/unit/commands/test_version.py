from calico_ctl import __version__
from tests.support.cli import Cli


def test_the_version_is_all_that_is_printed() -> None:
    assert Cli().done("version") == f"{__version__}\n"


def test_the_version_takes_no_arguments() -> None:
    assert "calicoctl version" in Cli().refused("version", "please")
