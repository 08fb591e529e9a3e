import pytest

from calico_ctl.datastore import endpoints, profiles
from calico_ctl.errors import Conflict, InvalidValue, NotFound
from calico_ctl.workload import endpoint_word, membership, which_endpoint
from calico_ctl.workload.which_endpoint import Filter
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


def called(word: str, host: str | None = None) -> Filter:
    return Filter(host=host, word=endpoint_word.parse(word, "endpoint"))


E2 = called("e2")


def profiles_of_e2(cli: Cli) -> tuple[str, ...]:
    return which_endpoint.find_one(cli.platform, E2).profiles


def test_profiles_are_appended_in_the_order_given(cli) -> None:
    wanted = called("e1", "host1")
    membership.change(cli.platform, wanted, "append", ("logger", "db"))
    assert which_endpoint.find_one(cli.platform, wanted).profiles == ("web", "logger", "db")


def test_profiles_are_removed_and_the_others_keep_their_order(cli) -> None:
    membership.change(cli.platform, E2, "append", ("logger",))
    membership.change(cli.platform, E2, "remove", ("db",))
    assert profiles_of_e2(cli) == ("web", "logger")


def test_profiles_are_set_to_exactly_what_is_given(cli) -> None:
    membership.change(cli.platform, E2, "set", ("logger", "web"))
    assert profiles_of_e2(cli) == ("logger", "web")
    assert membership.change(cli.platform, E2, "set", ()) == "Removed all profiles from endpoint."
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
        membership.change(cli.platform, E2, verb, named)
    assert cli.contents() == before


def test_appending_what_is_there_already_keeps_its_place_and_adds_the_rest(cli) -> None:
    before = profiles_of_e2(cli)
    membership.change(cli.platform, E2, "append", (before[0], "logger"))
    assert profiles_of_e2(cli) == (*before, "logger")


def test_a_profile_that_somebody_deleted_can_be_taken_away(cli) -> None:
    profiles.remove(cli.store, "db")
    membership.change(cli.platform, E2, "remove", ("db",))
    assert profiles_of_e2(cli) == ("web",)


def test_what_others_wrote_into_the_endpoint_meanwhile_survives(cli, monkeypatch) -> None:
    real_edit = endpoints.edit

    def edit_after_somebody_else(store, key, change):
        real_edit(store, key, lambda seen: seen.with_profiles((*seen.profiles, "logger")))
        return real_edit(store, key, change)

    monkeypatch.setattr(endpoints, "edit", edit_after_somebody_else)
    membership.change(cli.platform, E2, "remove", ("web",))
    assert profiles_of_e2(cli) == ("db", "logger")
