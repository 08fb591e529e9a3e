import json

import pytest
from hypothesis import HealthCheck, given, settings

from calico_ctl.datastore import pools, profiles
from calico_ctl.model import codec, manifest
from calico_ctl.model.profile import Profile
from tests.support.cli import Cli
from tests.support.manifests import things


@pytest.fixture
def cli() -> Cli:
    made = Cli()
    for name in ("web10", "web2"):
        made.done("profile", "add", name)
    made.done("pool", "add", "fd80:65::/64")
    made.done("pool", "add", "10.65.0.0/16", "--nat-outgoing")
    return made


def exported(cli: Cli, *words: str) -> list[str]:
    items = json.loads(cli.done("export", *words, "--output=json"))["items"]
    return [each.get("name") or each["cidr"] for each in items]


def test_yaml_has_a_document_for_each_thing_with_rules_as_one_types_them(cli) -> None:
    assert cli.done("export", "profile", "web2") == (
        "schema: 1\nkind: profile\nname: web2\ntags:\n  - web2\nrules:\n"
        "  inbound:\n    - allow from tag web2\n  outbound:\n    - allow\n"
    )
    assert cli.done("export").count("\n---\n") == 3


def test_json_is_one_list_with_the_items_that_shows_have(cli) -> None:
    listed = json.loads(cli.done("export", "pool", "10.65.0.0/16", "--output=json"))
    (pool, _) = pools.all(cli.store)
    assert listed == {
        "schema": 1,
        "kind": "list",
        "items": [{"kind": "pool"} | manifest.pool_item(pool)],
    }


def test_everything_or_a_kind_or_what_is_named_in_the_natural_order(cli) -> None:
    pools, profiles = ["10.65.0.0/16", "fd80:65::/64"], ["web2", "web10"]
    assert exported(cli) == exported(cli, "all") == pools + profiles
    assert exported(cli, "profile") == profiles
    assert exported(cli, "pool") == pools
    assert exported(cli, "profile", "web10", "web2", "web10") == profiles
    assert exported(cli, "pool", "fd80:65:0::/64") == ["fd80:65::/64"]


def test_an_empty_etcd_gives_what_apply_takes() -> None:
    empty = Cli()
    for form in ("yaml", "json"):
        text = empty.done("export", f"--output={form}")
        assert empty.done("apply", "-f", "-", stdin=text) == ""
    assert empty.done("export") == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["profile", "web2", "nobody", "none"], "error: no such profile: nobody, none\nhint: "),
        (["pool", "10.66.0.0/16"], "error: no such pool: 10.66.0.0/16"),
        (["profile", "a/b"], "invalid profile name 'a/b'"),
        (["pool", "10.66"], "invalid CIDR '10.66'"),
        (["--output=table"], "invalid --output 'table': expected yaml or json"),
    ],
)
def test_what_is_not_there_is_refused(cli, words, message) -> None:
    assert message in cli.refused("export", *words)


def test_what_cannot_be_read_is_named_and_left_out_and_the_exit_code_says_so(cli) -> None:
    cli.store.put("/calico/policy/profile/web2/rules", "nonsense")
    cli.store.put("/calico/ipam/v4/pool/junk", "nonsense")
    finished = cli.run("export")
    assert finished.exit == 1
    assert "warning: /calico/policy/profile/web2 is left out: " in finished.err
    assert "warning: /calico/ipam/v4/pool/junk is left out: " in finished.err
    assert "name: web10" in finished.out
    assert "web2" not in finished.out
    assert cli.run("export", "profile", "web2").exit == 1
    assert cli.run("export", "profile", "web10").exit == 0
    assert cli.run("export", "pool", "10.65.0.0/16").err == ""


def test_a_profile_with_a_name_that_apply_would_refuse_is_left_out(cli) -> None:
    cli.store.put("/calico/policy/profile/a b/tags", "[]")
    finished = cli.run("export", "profile")
    assert finished.exit == 1
    assert "warning: /calico/policy/profile/a b is left out: invalid profile name" in finished.err


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(things)
def test_what_is_exported_changes_nothing_and_makes_the_same_elsewhere(stated) -> None:
    here, there = Cli(), Cli()
    for each in stated:
        if isinstance(each, Profile):
            here.store.put(f"/calico/policy/profile/{each.name}/tags", codec.encode_tags(each.tags))
            profiles.replace_rules(here.store, each.name, each.rules)
        else:
            pools.create(here.store, each)
    before = here.contents()
    for form in ("yaml", "json"):
        text = here.done("export", f"--output={form}")
        here.done("apply", "-f", "-", stdin=text)
        assert here.contents() == before
        there.done("apply", "-f", "-", stdin=text)
        assert there.done("export", f"--output={form}") == text
