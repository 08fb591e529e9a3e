"""docs/reference/exit-codes.md says what the commands end with."""

import pytest

from tests.support.cli import NOT_ROOT, Cli

DONE_ALREADY = [
    "profile add web",
    "pool add 10.65.0.0/16",
    "profile web tag add web",
    "profile web rule add inbound allow tcp",
    "bgp peer add 10.99.0.1 as 65000",
    "endpoint e1 profile append web",
    "endpoint e1 profile set web",
]
REFUSED = [
    "xyzzy",
    "--xyzzy",
    "pool xyzzy",
    "pool show --xyzzy",
    "profile remove nobody",
    "profile remove web",
    "endpoint e1 profile remove other",
    "profile web tag remove nobody",
    "profile web rule remove inbound deny",
    "profile web rule add inbound --at=9 deny",
    "profile web rule add inbound perhaps",
    "pool remove 10.66.0.0/16",
    "bgp peer remove 10.99.0.9",
    "ipam release 10.65.0.9 --wait=0s",
]


@pytest.fixture
def cli() -> Cli:
    cli = Cli()
    for line in (
        "profile add web",
        "profile add other",
        "profile web rule add inbound allow tcp",
        "pool add 10.65.0.0/16",
        "bgp peer add 10.99.0.1 as 65000",
    ):
        cli.done(*line.split())
    cli.endpoint("e1", "10.65.0.1", profiles=("web",))
    return cli


@pytest.mark.parametrize("line", DONE_ALREADY)
def test_what_is_as_it_shall_be_is_no_failure_and_not_written_again(cli, line) -> None:
    before = cli.contents()
    cli.done(*line.split())
    assert cli.contents() == before


@pytest.mark.parametrize("line", REFUSED)
def test_what_one_would_not_want_is_refused(cli, line) -> None:
    assert cli.refused(*line.split()).startswith("error: ")


def test_what_only_root_may_has_a_code_of_its_own() -> None:
    finished = Cli(user=NOT_ROOT).run("container", "add", "web", "10.65.0.1")
    assert (finished.exit, finished.out) == (2, "")
