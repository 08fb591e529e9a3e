import pytest

from calico_ctl.datastore import profiles
from calico_ctl.model import keys
from tests.support.cli import Cli, cells

HEADINGS = [
    "Hostname",
    "Orchestrator ID",
    "Workload ID",
    "Endpoint ID",
    "Addresses",
    "MAC",
    "Profiles",
    "State",
]


@pytest.fixture
def cli() -> Cli:
    made = Cli()
    for name in ("web", "db"):
        profiles.create(made.store, name)
    made.endpoint("e1", "10.0.0.10", "10.0.0.9", "fd80::1", host="host10", profiles=("web", "db"))
    made.endpoint("e2", host="host2", workload="w1")
    made.endpoint("e3", host="host2", workload="w1")
    made.endpoint("e4", host="host2", workload="w2")
    return made


def test_hosts_are_shown_with_how_much_is_on_them(cli) -> None:
    assert cells(cli.done("endpoint", "show")) == [
        ["Hostname", "Orchestrator ID", "Number of Workloads", "Number of Endpoints"],
        ["host2", "docker", "2", "3"],
        ["host10", "docker", "1", "1"],
    ]


def test_an_endpoint_is_shown_with_all_that_it_has(cli) -> None:
    shown = cells(cli.done("endpoint", "show", "--detailed", "--endpoint=e1"))
    assert shown == [
        HEADINGS,
        ["host10", "docker", "w1", "e1", "10.0.0.9", "aa:bb:cc:dd:ee:ff", "web,db", "active"],
        ["", "", "", "", "10.0.0.10", "", "", ""],
        ["", "", "", "", "fd80::1", "", "", ""],
    ]


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        ([], ["e2", "e3", "e4", "e1"]),
        (["--host=host2"], ["e2", "e3", "e4"]),
        (["--workload=w1"], ["e2", "e3", "e1"]),
        (["--host=host2", "--workload=w1", "--endpoint=e3"], ["e3"]),
        (["--orchestrator=docker", "--host=host1"], []),
        (["--host=host"], []),
    ],
)
def test_filters_are_exact_and_all_have_to_fit(cli, filters, ids) -> None:
    shown = cells(cli.done("endpoint", "show", "--detailed", *filters))
    assert [row[3] for row in shown[1:] if row[3]] == ids


@pytest.mark.parametrize("option", ["--host", "--orchestrator", "--workload", "--endpoint"])
@pytest.mark.parametrize("value", ["", "a/b", "."])
def test_a_filter_that_cannot_be_part_of_a_key_is_refused(cli, option, value) -> None:
    assert f"invalid {option} '{value}'" in cli.refused("endpoint", "show", f"{option}={value}")


def test_an_endpoint_that_cannot_be_read_is_reported_beside_the_others(cli) -> None:
    made = cli.endpoint("e5", host="host3")
    cli.store.put(keys.endpoint(made.key), "nonsense")
    finished = cli.run("endpoint", "show")
    assert finished.exit == 0
    assert "host10" in finished.out
    assert f"warning: {keys.endpoint(made.key)} is left out" in finished.err


def test_profiles_are_changed_and_shown(cli) -> None:
    assert cli.done("endpoint", "e2", "profile", "append", "web", "db") == (
        "Profile(s) web, db appended.\n"
    )
    assert cli.done("endpoint", "e2", "profile", "remove", "web") == "Profile(s) web removed.\n"
    assert cells(cli.done("endpoint", "e2", "profile", "show")) == [["Name"], ["db"]]
    assert cli.done("endpoint", "e2", "profile", "set", "web") == "Profile(s) web set.\n"
    cli.done("endpoint", "e2", "profile", "set")
    assert cli.done("endpoint", "e2", "profile", "show") == "Endpoint e2 has no profiles.\n"


def test_every_name_in_a_list_is_judged_before_etcd_is_asked(cli) -> None:
    err = cli.refused("endpoint", "e2", "profile", "append", "a/b", "web")
    assert "invalid profile name 'a/b'" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["e9", "profile", "show"], "there is no endpoint with id e9"),
        (["e9", "profile", "set", "web"], "there is no endpoint with id e9"),
        (["e1", "profile", "append"], "at least one profile to append"),
        (["e2", "profile", "remove", "web"], "the endpoint does not have profile web"),
        (["e2", "profile", "append", "new"], "profile new does not exist"),
        (["e2", "profile", "set", "web", "--host=host10"], "no endpoint with id e2, host host10"),
    ],
)
def test_what_cannot_be_done_is_refused_whole(cli, words, message) -> None:
    assert message in cli.refused("endpoint", *words)


def test_an_id_on_two_hosts_needs_the_host(cli) -> None:
    cli.endpoint("e1", host="host2", workload="w7")
    err = cli.refused("endpoint", "e1", "profile", "append", "web")
    assert "2 endpoints have id e1" in err
    assert "--host=<HOSTNAME>" in err
    cli.done("endpoint", "e1", "profile", "append", "web", "--host=host2")
