import pytest

from calico_ctl.datastore import endpoints, profiles
from calico_ctl.errors import Conflict, InvalidValue, NotFound
from calico_ctl.model import keys
from calico_ctl.workload import membership
from calico_ctl.workload.membership import Filter
from tests.support.cli import Cli


@pytest.fixture
def cli() -> Cli:
    made = Cli()
    for name in ("web", "db", "logger"):
        profiles.create(made.store, name)
    made.endpoint("e1", profiles=("web",))
    made.endpoint("e2", workload="w2", profiles=("web", "db"))
    made.endpoint("e1", host="host2", workload="w3")
    return made


E2 = Filter(endpoint="e2")


def profiles_of_e2(cli: Cli) -> tuple[str, ...]:
    return membership.find_one(cli.store, E2).profiles


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (Filter(), ["e1", "e2", "e1"]),
        (Filter(host="host1"), ["e1", "e2"]),
        (Filter(workload="w2"), ["e2"]),
        (Filter(endpoint="e1"), ["e1", "e1"]),
        (Filter(host="host2", endpoint="e1"), ["e1"]),
        (Filter(orchestrator="namespace"), []),
    ],
)
def test_all_that_is_known_of_an_endpoint_has_to_fit(cli, wanted, ids) -> None:
    found, problems = membership.find(cli.store, wanted)
    assert [each.key.id for each in found] == ids
    assert problems == []


def test_profiles_are_appended_in_the_order_given(cli) -> None:
    wanted = Filter("host1", endpoint="e1")
    membership.change(cli.store, wanted, "append", ("logger", "db"))
    assert membership.find_one(cli.store, wanted).profiles == ("web", "logger", "db")


def test_profiles_are_removed_and_the_others_keep_their_order(cli) -> None:
    membership.change(cli.store, E2, "append", ("logger",))
    membership.change(cli.store, E2, "remove", ("db",))
    assert profiles_of_e2(cli) == ("web", "logger")


def test_profiles_are_set_to_exactly_what_is_given(cli) -> None:
    membership.change(cli.store, E2, "set", ("logger", "web"))
    assert profiles_of_e2(cli) == ("logger", "web")
    assert membership.change(cli.store, E2, "set", ()) == "Removed all profiles from endpoint."
    assert profiles_of_e2(cli) == ()


@pytest.mark.parametrize(
    ("verb", "named", "error", "message"),
    [
        ("append", (), InvalidValue, "at least one profile to append"),
        ("remove", (), InvalidValue, "at least one profile to remove"),
        ("append", ("logger", "logger"), InvalidValue, "logger only once"),
        ("set", ("web", "db", "web"), InvalidValue, "web only once"),
        ("append", ("logger", "nosuch"), NotFound, "profile nosuch does not exist"),
        ("set", ("nosuch", "logger"), NotFound, "profile nosuch does not exist"),
        ("remove", ("web", "logger"), Conflict, "does not have profile logger"),
    ],
)
def test_a_list_that_does_not_fit_changes_nothing(cli, verb, named, error, message) -> None:
    before = cli.contents()
    with pytest.raises(error, match=message):
        membership.change(cli.store, E2, verb, named)
    assert cli.contents() == before


def test_appending_what_is_there_already_keeps_its_place_and_adds_the_rest(cli) -> None:
    before = profiles_of_e2(cli)
    membership.change(cli.store, E2, "append", (before[0], "logger"))
    assert profiles_of_e2(cli) == (*before, "logger")


def test_a_profile_that_somebody_deleted_can_be_taken_away(cli) -> None:
    profiles.remove(cli.store, "db")
    membership.change(cli.store, E2, "remove", ("db",))
    assert profiles_of_e2(cli) == ("web",)


def test_no_endpoint_and_several_endpoints_are_told_apart(cli) -> None:
    with pytest.raises(NotFound, match="there is no endpoint with id e9, host host1"):
        membership.find_one(cli.store, Filter(host="host1", endpoint="e9"))
    with pytest.raises(
        Conflict, match="2 endpoints have id e1: e1 on host host1, e1 on host host2"
    ):
        membership.find_one(cli.store, Filter(endpoint="e1"))


def test_an_endpoint_that_cannot_be_read_is_not_said_to_be_absent(cli) -> None:
    key = keys.endpoint(membership.find_one(cli.store, E2).key)
    cli.store.put(key, "nonsense")
    with pytest.raises(Conflict, match=rf"cannot be read: .*{key}.*expected valid JSON"):
        membership.find_one(cli.store, E2)


def test_what_others_wrote_into_the_endpoint_meanwhile_survives(cli, monkeypatch) -> None:
    real_edit = endpoints.edit

    def edit_after_somebody_else(store, key, change):
        real_edit(store, key, lambda seen: seen.with_profiles((*seen.profiles, "logger")))
        return real_edit(store, key, change)

    monkeypatch.setattr(endpoints, "edit", edit_after_somebody_else)
    membership.change(cli.store, E2, "remove", ("web",))
    assert profiles_of_e2(cli) == ("db", "logger")
