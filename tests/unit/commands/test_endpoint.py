from dataclasses import replace

import pytest

from calico_ctl.datastore import endpoints, profiles
from calico_ctl.model import keys
from calico_ctl.model.count import Drops
from calico_ctl.model.endpoint import EndpointKey, State
from tests.support.cli import NOT_ROOT, Cli, cells
from tests.support.machine import FakeCounters

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


COUNTED = [
    "Workload ID",
    "Endpoint ID",
    "Interface",
    "Dropped from it",
    "Dropped to it",
    "Spoofed",
]


@pytest.fixture
def counting(cli: Cli) -> Cli:
    """Where host2 is this host, and its kernel lets e2 and e3 through."""
    drops = {"calie2": Drops(1, 20, 300), "calie3": Drops()}
    cli.platform.counters = FakeCounters(interfaces=drops)
    cli.platform.hostname = "host2"
    return cli


def test_what_was_dropped_is_shown_for_each_endpoint_of_this_host(counting) -> None:
    endpoints.edit(
        counting.store,
        EndpointKey("host2", "docker", "w2", "e4"),
        lambda each: replace(each, state=State.INACTIVE),
    )
    finished = counting.run("endpoint", "show", "--counters")
    assert (finished.exit, finished.err) == (0, "")
    assert cells(finished.out) == [
        COUNTED,
        ["w1", "e2", "calie2", "1", "20", "300"],
        ["w1", "e3", "calie3", "0", "0", "0"],
        ["w2", "e4", "calie4", "-", "-", "-"],
    ]


def test_an_active_endpoint_that_the_kernel_does_not_let_through_is_warned_of(counting) -> None:
    finished = counting.run("endpoint", "show", "--counters", "--workload=w2")
    assert finished.exit == 0
    assert cells(finished.out) == [COUNTED, ["w2", "e4", "calie4", "-", "-", "-"]]
    assert "warning: this host lets nothing through of e4" in finished.err
    assert "calicoctl status" in finished.err


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        (["--host=host2"], ["e2", "e3", "e4"]),
        (["--endpoint=e3"], ["e3"]),
        (["--endpoint=e1"], []),
        (["--orchestrator=other"], []),
    ],
)
def test_counts_are_filtered_as_the_endpoints_are(counting, filters, ids) -> None:
    shown = cells(counting.done("endpoint", "show", "--counters", *filters))
    assert [row[1] for row in shown[1:]] == ids


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--host=host10"], "--counters shows what this host, host2, has counted"),
        (["--host=a/b"], "invalid --host"),
        (["--detailed"], "do not form a command"),
    ],
)
def test_counts_of_another_host_or_in_other_columns_are_refused(counting, words, message) -> None:
    assert message in counting.refused("endpoint", "show", "--counters", *words)


def test_without_a_table_there_is_nothing_to_show(counting) -> None:
    counting.platform.counters = FakeCounters()
    assert "this host has no table" in counting.refused("endpoint", "show", "--counters")


def test_an_unreadable_endpoint_of_this_host_is_reported_beside_the_counts(counting) -> None:
    for host in ("host2", "host3"):
        made = counting.endpoint("e5", host=host)
        counting.store.put(keys.endpoint(made.key), "nonsense")
    finished = counting.run("endpoint", "show", "--counters")
    assert finished.exit == 0
    assert finished.err.count("is left out") == 1


def test_only_root_may_see_what_was_dropped() -> None:
    cli = Cli(user=NOT_ROOT)
    finished = cli.run("endpoint", "show", "--counters")
    assert (finished.exit, finished.out) == (2, "")
    assert "root" in finished.err
    assert cli.store.reads == 0
