import json
from dataclasses import replace
from typing import Any

import pytest
import yaml

from calico_ctl.datastore import endpoints, profiles
from calico_ctl.datastore.store import Entry
from calico_ctl.model import keys
from calico_ctl.model.container import Container
from calico_ctl.model.count import Drops
from calico_ctl.model.endpoint import EndpointKey, State
from tests.support.cli import NOT_ROOT, Cli, cells
from tests.support.machine import FakeCounters, FakeDocker

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
    made.platform.docker = FakeDocker()
    for name in ("web", "db"):
        profiles.create(made.store, name)
    made.endpoint("e1", "10.0.0.10", "10.0.0.9", "fd80::1", host="host10", profiles=("web", "db"))
    made.endpoint("e2", host="host2", workload="w1")
    made.endpoint("e3", host="host2", workload="w1")
    made.endpoint("e4", host="host2", workload="w2")
    return made


def test_T39_each_host_is_shown_with_how_much_is_on_it(cli) -> None:
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
        (["e9", "profile", "show"], "there is no endpoint e9"),
        (["e9", "profile", "set", "web"], "there is no endpoint e9"),
        (["e1", "profile", "append"], "at least one profile to append"),
        (["e2", "profile", "remove", "web"], "the endpoint does not have profile web"),
        (["e2", "profile", "append", "new"], "profile new does not exist"),
        (["e2", "profile", "set", "web", "--host=host10"], "no endpoint e2 on host host10"),
    ],
)
def test_what_cannot_be_done_is_refused_whole(cli, words, message) -> None:
    assert message in cli.refused("endpoint", *words)


def test_an_id_on_two_hosts_needs_the_host(cli) -> None:
    cli.endpoint("e1", host="host2", workload="w7")
    err = cli.refused("endpoint", "e1", "profile", "append", "web")
    assert "endpoint e1 is ambiguous: 2 endpoints fit" in err
    assert "--host" in err
    cli.done("endpoint", "e1", "profile", "append", "web", "--host=host2")


def test_an_endpoint_is_called_by_whatever_name_it_has(cli) -> None:
    container = Container("c" * 64, "shop", True, 42, "none")
    cli.platform.docker = FakeDocker({"shop": container})
    cli.endpoint("abcdef" + "0" * 26, "10.0.0.77", "fd80::77", workload=container.id)
    words = ("abcdef" + "0" * 26, "abcd", "shop", "cccc", "c" * 64, "10.0.0.77", "fd80:0::77")
    for word in (*words, "caliabcdef00000"):
        cli.done("endpoint", word, "profile", "set", "web")
        assert cli.done("endpoint", word, "profile", "show", "--output=name") == "web\n"
        shown = cli.done("endpoint", "show", f"--endpoint={word}", "--output=name")
        assert shown == "abcdef" + "0" * 26 + "\n"
        cli.done("endpoint", word, "profile", "set")


def test_a_name_that_nobody_has_shows_nothing_and_says_so(cli) -> None:
    finished = cli.run("endpoint", "show", "--endpoint=nosuch", "--host=host2", "--output=name")
    assert (finished.exit, finished.out) == (0, "")
    assert "there is no endpoint nosuch on host host2" in finished.err


def shown_as(cli: Cli, form: str, *words: str) -> Any:
    return yaml.safe_load(cli.done("endpoint", *words, f"--output={form}"))


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_endpoints_are_shown_as_data(cli, form) -> None:
    assert shown_as(cli, form, "show", "--detailed", "--host=host10") == {
        "schema": 1,
        "kind": "endpoint",
        "items": [
            {
                "hostname": "host10",
                "orchestrator": "docker",
                "workload": "w1",
                "id": "e1",
                "state": "active",
                "interface": "calie1",
                "mac": "aa:bb:cc:dd:ee:ff",
                "profiles": ["web", "db"],
                "addresses": ["10.0.0.9", "10.0.0.10", "fd80::1"],
                "ipv4_gateway": None,
                "ipv6_gateway": None,
            }
        ],
    }


def test_how_much_is_on_hosts_is_shown_as_data(cli) -> None:
    assert shown_as(cli, "json", "show") == {
        "schema": 1,
        "kind": "endpoint_summary",
        "items": [
            {"hostname": "host2", "orchestrator": "docker", "workloads": 2, "endpoints": 3},
            {"hostname": "host10", "orchestrator": "docker", "workloads": 1, "endpoints": 1},
        ],
    }


@pytest.mark.parametrize("options", [[], ["--detailed"]])
def test_endpoints_are_shown_by_id(cli, options) -> None:
    named = cli.done("endpoint", "show", *options, "--output=name")
    assert named.split() == ["e2", "e3", "e4", "e1"]


def test_profiles_of_an_endpoint_are_shown_as_data_in_the_order_in_which_they_are_asked(
    cli,
) -> None:
    assert shown_as(cli, "json", "e1", "profile", "show")["items"] == [
        {"endpoint": "e1", "name": "web"},
        {"endpoint": "e1", "name": "db"},
    ]
    assert cells(cli.done("endpoint", "e1", "profile", "show")) == [["Name"], ["db"], ["web"]]
    assert shown_as(cli, "json", "e2", "profile", "show")["items"] == []


def test_an_unreadable_endpoint_is_not_in_the_data(cli) -> None:
    made = cli.endpoint("e5", host="host3")
    cli.store.put(keys.endpoint(made.key), "nonsense")
    finished = cli.run("endpoint", "show", "--detailed", "--output=json")
    assert finished.exit == 0
    assert "e5 is left out" in finished.err
    assert [each["id"] for each in json.loads(finished.out)["items"]] == ["e2", "e3", "e4", "e1"]


@pytest.mark.parametrize("verb", ["append", "remove", "set"])
@pytest.mark.parametrize(
    "names", [["a/b", "web", "db"], ["web", "a/b", "db"], ["web", "db", "a/b"]]
)
def test_T17_every_profile_of_a_list_is_judged(cli, verb, names) -> None:
    err = cli.refused("endpoint", "e2", "profile", verb, *names)
    assert "invalid profile name 'a/b'" in err
    if verb != "remove":
        missing = [name.replace("/", "-") for name in names]
        err = cli.refused("endpoint", "e2", "profile", verb, *missing)
        assert "profile a-b does not exist" in err


def test_T3_appending_what_is_there_is_no_failure_and_removing_what_is_not_is_one(cli) -> None:
    cli.done("endpoint", "e1", "profile", "append", "web")
    assert cells(cli.done("endpoint", "e1", "profile", "show")) == [["Name"], ["db"], ["web"]]
    cli.refused("endpoint", "e2", "profile", "remove", "db")


def test_T22_several_endpoints_are_named_whatever_is_to_be_done_with_them(cli) -> None:
    for words in (["append", "web"], ["set", "web"], ["set"], ["remove", "web"], ["show"]):
        err = cli.refused("endpoint", "w1", "profile", *words)
        assert "e1 on host host10" in err
        assert "e2 on host host2" in err


def test_T19_addresses_are_in_the_order_of_their_numbers(cli) -> None:
    cli.endpoint("e9", "10.0.0.100", "fd80::2", "9.0.0.1", "10.0.0.20", host="host9")
    (item,) = shown_as(cli, "json", "show", "--detailed", "--host=host9")["items"]
    assert item["addresses"] == ["9.0.0.1", "10.0.0.20", "10.0.0.100", "fd80::2"]


def test_T44_a_lost_race_is_run_again_and_loses_nothing(cli, monkeypatch) -> None:
    real = cli.store.swap
    raced: list[bool] = []

    def swap(seen: Entry, value: str) -> Entry:
        if not raced:
            raced.append(True)
            changed = json.loads(seen.value or "") | {"state": "inactive"}
            real(seen, json.dumps(changed))
        swapped: Entry = real(seen, value)
        return swapped

    monkeypatch.setattr(cli.store, "swap", swap)
    cli.done("endpoint", "e2", "profile", "set", "web")
    (item,) = shown_as(cli, "json", "show", "--detailed", "--endpoint=e2")["items"]
    assert (item["state"], item["profiles"]) == ("inactive", ["web"])


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
        (["--detailed"], "Usage:"),
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


def test_counts_are_shown_as_data(counting) -> None:
    shown = shown_as(counting, "json", "show", "--counters")
    assert shown["kind"] == "endpoint_counters"
    assert [(each["id"], each["dropped_from"], each["spoofed"]) for each in shown["items"]] == [
        ("e2", 1, 300),
        ("e3", 0, 0),
        ("e4", None, None),
    ]


def test_only_root_may_see_what_was_dropped() -> None:
    cli = Cli(user=NOT_ROOT)
    finished = cli.run("endpoint", "show", "--counters")
    assert (finished.exit, finished.out) == (2, "")
    assert "root" in finished.err
    assert cli.store.reads == 0
