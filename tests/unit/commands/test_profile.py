from typing import Any

import pytest
import yaml

from calico_ctl.datastore import profiles
from calico_ctl.datastore.store import Entry
from calico_ctl.model import keys
from calico_ctl.model.rule import default_rules
from tests.support.cli import Cli, cells


@pytest.fixture
def cli() -> Cli:
    return Cli()


@pytest.fixture
def web(cli: Cli) -> Cli:
    cli.done("profile", "add", "web")
    return cli


def test_a_new_profile_has_its_own_tag_and_the_default_rules(cli) -> None:
    assert cli.done("profile", "add", "web") == "Created profile web\n"
    assert profiles.read(cli.store, "web") == profiles.Profile(
        "web", ("web",), default_rules("web")
    )


def test_adding_a_profile_again_says_so_and_keeps_what_it_has(web) -> None:
    web.done("profile", "web", "rule", "add", "inbound", "deny")
    before = web.contents()
    assert web.done("profile", "add", "web") == "Profile web already exists.\n"
    assert web.contents() == before


@pytest.mark.parametrize("name", ["", "a/b", ".", "..", "a b", "ä", "a" * 65, "web\n", "_hidden"])
def test_a_name_that_etcd_or_the_agent_would_choke_on_is_refused(cli, name) -> None:
    assert "invalid profile name" in cli.refused("profile", "add", name)


@pytest.mark.parametrize("name", ["add", "show", "rule", "tag", "a" * 64, "-"])
def test_a_profile_may_be_called_like_a_word_of_the_command(cli, name) -> None:
    cli.done("profile", "add", name)
    assert "Inbound rules:" in cli.done("profile", name, "rule", "show")


def test_profiles_are_listed_in_the_order_of_their_numbers(cli) -> None:
    for name in ("web10", "web2", "db"):
        cli.done("profile", "add", name)
    assert cells(cli.done("profile", "show")) == [["Name"], ["db"], ["web2"], ["web10"]]


def test_members_are_listed_and_a_profile_without_any_too(web) -> None:
    web.done("profile", "add", "db")
    web.endpoint("e1", host="host2", profiles=("db", "web"))
    web.endpoint("e2", host="host10", profiles=("web",))
    assert cells(web.done("profile", "show", "--detailed")) == [
        ["Name", "Host", "Orchestrator ID", "Workload ID", "Endpoint ID", "State"],
        ["db", "host2", "docker", "w1", "e1", "active"],
        ["web", "host2", "docker", "w1", "e1", "active"],
        ["web", "host10", "docker", "w1", "e2", "active"],
    ]
    web.done("profile", "add", "unused")
    assert ["unused", *["None"] * 5] in cells(web.done("profile", "show", "--detailed"))


def test_an_unused_profile_is_removed(web) -> None:
    assert web.done("profile", "remove", "web") == "Deleted profile web\n"
    assert cells(web.done("profile", "show")) == [["Name"]]


def test_removing_what_is_not_there_fails(cli) -> None:
    assert "profile web does not exist" in cli.refused("profile", "remove", "web")
    assert "profile web does not exist" in cli.refused("profile", "remove", "web", "--no-check")


def test_a_profile_in_use_is_not_removed_unless_one_insists(web) -> None:
    web.endpoint("e1", host="host2", profiles=("web",))
    err = web.refused("profile", "remove", "web")
    assert "profile web is in use by host2/e1" in err
    assert "--no-check" in err
    web.done("profile", "remove", "web", "--no-check")
    assert not profiles.exists(web.store, "web")


def test_tags_are_shown_one_per_line_in_order(web) -> None:
    for tag in ("t10", "t2", "t2"):
        assert web.done("profile", "web", "tag", "add", tag) == f"Tag {tag} added to profile web\n"
    assert web.done("profile", "web", "tag", "show") == "t2\nt10\nweb\n"
    assert web.done("profile", "web", "tag", "remove", "t2") == "Tag t2 removed from profile web\n"
    assert web.done("profile", "web", "tag", "show") == "t10\nweb\n"


def test_adding_a_tag_again_writes_nothing(web) -> None:
    before = web.contents()
    web.done("profile", "web", "tag", "add", "web")
    assert web.contents() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["web", "tag", "remove", "db"], "profile web has no tag db"),
        (["web", "tag", "add", "a/b"], "invalid tag 'a/b'"),
        (["web", "tag", "add", "a\n"], "invalid tag 'a\\n'"),
        (["db", "tag", "show"], "profile db does not exist"),
        (["db", "tag", "add", "a"], "profile db does not exist"),
        (["db", "tag", "remove", "a"], "profile db does not exist"),
        (["a/b", "tag", "show"], "invalid profile name 'a/b'"),
    ],
)
def test_a_tag_that_makes_no_sense_is_refused(web, words, message) -> None:
    assert message in web.refused("profile", *words)


def test_tags_that_lost_their_quotes_are_read_and_written_properly_at_the_next_change(web) -> None:
    web.store.put(keys.profile_tags("web"), "[logger]")
    assert web.done("profile", "web", "tag", "show") == "logger\n"
    web.done("profile", "web", "tag", "add", "db")
    assert web.contents()[keys.profile_tags("web")] == '["logger", "db"]'


def data(cli: Cli, *words: str, form: str = "json") -> Any:
    return yaml.safe_load(cli.done("profile", *words, f"--output={form}"))


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_profiles_are_shown_as_data(web, form) -> None:
    for name in ("web10", "web2"):
        web.done("profile", "add", name)
    web.store.put(keys.profile_rules("web10"), "{nonsense")
    finished = web.run("profile", "show", f"--output={form}")
    assert finished.exit == 0
    assert f"{keys.profile('web10')} is left out" in finished.err
    shown = yaml.safe_load(finished.out)
    assert (shown["schema"], shown["kind"]) == (1, "profile")
    assert [each["name"] for each in shown["items"]] == ["web", "web2"]
    assert shown["items"][0] == {
        "name": "web",
        "tags": ["web"],
        "rules": {
            "inbound": [{"action": "allow", "src_tag": "web"}],
            "outbound": [{"action": "allow"}],
        },
    }
    assert web.done("profile", "show", "--output=name").split() == ["web", "web2", "web10"]


def test_members_are_shown_as_data(web) -> None:
    web.done("profile", "add", "db")
    web.endpoint("e1", host="host2", profiles=("web",))
    shown = {each["name"]: each["members"] for each in data(web, "show", "--detailed")["items"]}
    assert shown == {
        "db": [],
        "web": [
            {
                "hostname": "host2",
                "orchestrator": "docker",
                "workload": "w1",
                "endpoint": "e1",
                "state": "active",
            }
        ],
    }


def test_tags_are_shown_as_data(web) -> None:
    web.done("profile", "web", "tag", "add", "t10")
    web.done("profile", "web", "tag", "add", "t2")
    shown = data(web, "web", "tag", "show")
    assert shown["kind"] == "tag"
    assert shown["items"][0] == {"profile": "web", "name": "t2"}
    assert web.done("profile", "web", "tag", "show", "--output=name").split() == [
        "t2",
        "t10",
        "web",
    ]


@pytest.mark.parametrize("tag", ["", "a/b", "a\n", "a b", "ä", "a" * 65, "."])
def test_T8_a_tag_that_would_poison_the_profile_is_refused(web, tag) -> None:
    assert "invalid tag" in web.refused("profile", "web", "tag", "add", tag)


def test_T18_a_name_has_64_characters_at_most(cli) -> None:
    cli.done("profile", "add", "a" * 64)
    err = cli.refused("profile", "add", "a" * 65)
    assert "1 to 64 characters" in err


def test_T44_a_change_that_races_with_another_loses_neither(web, monkeypatch) -> None:
    real = web.store.swap
    raced: list[bool] = []

    def swap(seen: Entry, value: str) -> Entry:
        if not raced:
            raced.append(True)
            real(seen, '["web", "faster"]')
        swapped: Entry = real(seen, value)
        return swapped

    monkeypatch.setattr(web.store, "swap", swap)
    web.done("profile", "web", "tag", "add", "slower")
    assert web.done("profile", "web", "tag", "show").split() == ["faster", "slower", "web"]


def test_T45_an_endpoint_that_got_the_profile_meanwhile_is_named(web, monkeypatch) -> None:
    real = profiles.remove

    def remove(store, name) -> None:
        web.endpoint("e1", host="host2", profiles=("web",))
        real(store, name)

    monkeypatch.setattr(profiles, "remove", remove)
    finished = web.run("profile", "remove", "web")
    assert finished.exit == 0
    assert (
        "warning: these still have profile web, which allows nothing now: host2/e1" in finished.err
    )


def test_T45_a_profile_made_anew_says_who_has_it_already(web) -> None:
    web.endpoint("e1", host="host2", profiles=("db", "web"))
    finished = web.run("profile", "add", "db")
    assert (finished.exit, finished.out) == (0, "Created profile db\n")
    assert "these had profile db before and have it again: host2/e1" in finished.err


def test_T45_an_endpoint_that_cannot_be_read_is_not_passed_over(web) -> None:
    made = web.endpoint("e1", host="host2", profiles=("web",))
    web.store.put(keys.endpoint(made.key), '{"profile_id": "web"')
    finished = web.run("profile", "remove", "web")
    assert finished.exit == 0
    assert finished.err.count(f"{keys.endpoint(made.key)} is left out") == 1
