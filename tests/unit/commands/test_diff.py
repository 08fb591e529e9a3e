import pytest

from tests.support.cli import Cli

WEB = """
schema: 1
kind: profile
name: web
tags: [web]
rules:
  inbound: [allow from tag web]
  outbound: [allow]
"""


@pytest.fixture
def cli() -> Cli:
    return Cli()


def test_nothing_to_change_is_silent_and_done(cli) -> None:
    cli.done("profile", "add", "web")
    assert cli.done("diff", "-f", "-", stdin=WEB) == ""
    assert cli.done("diff", "-f", "-", stdin=cli.done("export")) == ""


def test_what_would_change_is_shown_and_is_no_error(cli) -> None:
    cli.done("profile", "add", "web")
    before = cli.contents()
    finished = cli.run("diff", "-f", "-", stdin=WEB.replace("[allow]", "[deny tcp, allow]"))
    assert finished.exit == 1
    assert finished.err == ""
    assert finished.out.splitlines() == [
        "--- profile web (etcd)",
        "+++ profile web (stdin, document 1)",
        "@@ -3,4 +3,5 @@",
        " inbound:",
        "   allow from tag web",
        " outbound:",
        "+  deny tcp",
        "   allow",
    ]
    assert cli.contents() == before


def test_what_is_new_is_shown_whole(cli) -> None:
    finished = cli.run("diff", "-f", "-", stdin=WEB)
    assert (finished.exit, finished.err) == (1, "")
    assert "+  allow from tag web" in finished.out.splitlines()


def test_what_cannot_be_read_is_named_and_counts_as_absent(cli) -> None:
    cli.store.put("/calico/policy/profile/web/rules", "nonsense")
    cli.store.put("/calico/policy/profile/other/rules", "nonsense")
    finished = cli.run("diff", "-f", "-", stdin=WEB)
    assert finished.exit == 1
    assert "warning: /calico/policy/profile/web is left out" in finished.err
    assert "other" not in finished.err
    assert "+inbound:" in finished.out


def test_what_is_wrong_is_an_error_and_no_difference(cli) -> None:
    assert "error: stdin, document 1: " in cli.refused("diff", "-f", "-", stdin="schema: 2")
    cli.done("pool", "add", "10.65.0.0/16")
    text = f"{WEB}---\nschema: 1\nkind: pool\ncidr: 10.0.0.0/8\n"
    assert "overlaps the pool 10.65.0.0/16" in cli.refused("diff", "-f", "-", stdin=text)
