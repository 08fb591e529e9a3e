import json

import pytest

from calico_ctl.datastore import pools, profiles
from calico_ctl.model.profile import Profile
from tests.support.cli import Cli

WEB = """
schema: 1
kind: profile
name: web
tags: [web]
rules:
  inbound: [allow tcp from tag web to ports 80]
  outbound: [allow]
"""
POOL = "schema: 1\nkind: pool\ncidr: 10.65.0.0/16\nnat_outgoing: true\n"
OVERLAPPING = "schema: 1\nkind: pool\ncidr: 10.65.4.0/24\n"


@pytest.fixture
def cli() -> Cli:
    return Cli()


def test_things_are_made_once_and_changed_when_the_file_changes(cli) -> None:
    text = f"{WEB}---\n{POOL}"
    assert cli.done("apply", "-f", "-", stdin=text) == (
        "pool 10.65.0.0/16 created\nprofile web created\n"
    )
    before = cli.contents()
    assert cli.done("apply", "-f", "-", stdin=text) == (
        "pool 10.65.0.0/16 unchanged\nprofile web unchanged\n"
    )
    assert cli.contents() == before
    assert cli.done("apply", "-f", "-", stdin=text.replace("[allow]", "[]")) == (
        "pool 10.65.0.0/16 unchanged\nprofile web changed\n"
    )
    assert profiles.read(cli.store, "web").rules.outbound == ()


def test_a_dry_run_says_the_same_and_writes_nothing(cli) -> None:
    assert cli.done("apply", "-f", "-", "--dry-run", stdin=WEB) == "profile web created (dry run)\n"
    assert cli.contents() == {}


def test_what_no_document_names_stays(cli) -> None:
    cli.done("profile", "add", "db")
    cli.done("apply", "-f", "-", stdin=WEB)
    assert profiles.names(cli.store) == ["db", "web"]


def test_several_files_are_one_whole(cli, tmp_path) -> None:
    for name, text in (("a.yaml", WEB), ("b.yml", POOL), ("c.yaml", WEB)):
        (tmp_path / name).write_text(text)
    a, b, c = (str(tmp_path / name) for name in ("a.yaml", "b.yml", "c.yaml"))
    err = cli.refused("apply", "-f", a, "-f", b, "-f", c)
    assert f"error: {c}, document 1: profile web is stated already in {a}, document 1" in err
    assert cli.done("apply", "-f", a, "-f", b).splitlines()[0] == "pool 10.65.0.0/16 created"


def test_the_output_of_shows_and_exports_is_taken_back(cli) -> None:
    cli.done("apply", "-f", "-", stdin=f"{WEB}---\n{POOL}")
    for kind, line in (("profile", "profile web"), ("pool", "pool 10.65.0.0/16")):
        for words in ([kind, "show"], ["export", kind]):
            for form in ("json", "yaml"):
                text = cli.done(*words, f"--output={form}")
                assert cli.done("apply", "-f", "-", stdin=text) == f"{line} unchanged\n"


@pytest.mark.parametrize(
    ("last", "message"),
    [
        (OVERLAPPING, "error: stdin, document 3: pool 10.65.4.0/24 overlaps the pool 10.65.0.0/16"),
        (POOL.replace("true", "false"), "document 3: pool 10.65.0.0/16 is stated already"),
        ("schema: 1\nkind: pool\ncidr: 9.0.0.0/8", "overlaps the pool 9.9.0.0/16\nhint: "),
        (
            "schema: 1\nkind: pool\ncidr: 9.9.0.0/16\nipip: true",
            "exists already with other options",
        ),
        ("schema: 1\nkind: pool\ncidr: 10.0.0.0/33", "document 3: cidr: invalid CIDR"),
        ("x: *y", "error: stdin: invalid alias on line"),
        ('{"schema": NaN}', "error: stdin, document 3: "),
        ("[" * 1000, "error: stdin: invalid nesting on line"),
    ],
)
def test_one_wrong_document_and_nothing_is_written(cli, last, message) -> None:
    cli.done("pool", "add", "9.9.0.0/16")
    assert message in cli.refused("apply", "-f", "-", stdin=f"{WEB}---\n{POOL}---\n{last}\n")


OF_NO_USE = {
    "NaN": '{"schema": 1, "kind": "pool", "cidr": NaN}',
    "a key twice": '{"schema": 1, "schema": 1}',
    "nested deeply": '{"a": ' * 90_000,
    "a long name": '{"schema": 1, "kind": "profile", "name": "' + "x" * 1_000_000 + '"}',
    "a control character": "\0",
    "half a character": "\ud800",
    "a list": "- a",
}


@pytest.mark.parametrize("text", OF_NO_USE.values(), ids=OF_NO_USE)
def test_text_of_no_use_is_refused_in_good_order(cli, text) -> None:
    err = cli.refused("apply", "-f", "-", stdin=text)
    assert err.startswith("error: stdin")
    assert len(err) < 400


def test_nothing_at_all_is_said(cli) -> None:
    finished = cli.run("apply", "-f", "-", stdin="# nothing\n")
    assert (finished.exit, finished.out) == (0, "")
    assert "there is nothing to apply" in finished.err


def test_what_etcd_has_broken_is_replaced(cli) -> None:
    cli.store.put("/calico/policy/profile/web/rules", "nonsense")
    assert cli.done("apply", "-f", "-", stdin=WEB) == "profile web changed\n"
    assert profiles.read(cli.store, "web").tags == ("web",)


def test_without_a_file_it_is_no_command(cli) -> None:
    assert "calicoctl apply (-f <FILE>)" in cli.refused("apply")


def test_without_etcd_the_error_is_about_etcd(cli) -> None:
    cli.store.fail_with = "no route"
    finished = cli.run("apply", "-f", "-", stdin=WEB)
    assert (finished.exit, finished.out) == (1, "")
    assert "cannot reach etcd" in finished.err


def test_ipip_pools_and_all_their_options_are_taken(cli) -> None:
    text = "{schema: 1, kind: pool, cidr: 10.65.0.0/16, ipip: true, cross_subnet: true}"
    cli.done("apply", "-f", "-", stdin=text)
    (pool,) = pools.all(cli.store)
    assert (pool.ipip, pool.cross_subnet, pool.masquerade) == (True, True, False)


def test_objects_of_the_guide_may_be_rules(cli) -> None:
    rules = {"inbound": [{"action": "deny", "src_tag": "db"}], "outbound": []}
    text = json.dumps({"schema": 1, "kind": "profile", "name": "web", "tags": [], "rules": rules})
    cli.done("apply", "-f", "-", stdin=text)
    found = profiles.read(cli.store, "web")
    assert found == Profile("web", (), found.rules)
    assert found.rules.inbound[0].src_tag == "db"
