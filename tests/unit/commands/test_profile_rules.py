"""The commands on the rules of a profile."""

import json
from typing import Any

import pytest
import yaml

from calico_ctl.datastore import profiles, status
from calico_ctl.datastore.status import AgentStatus
from calico_ctl.model import keys
from calico_ctl.model.count import Count
from calico_ctl.model.rule import Direction, Rule, Rules, default_rules
from tests.support.cli import NOT_ROOT, ROOT, Cli, cells
from tests.support.machine import HOST, FakeCounters, Machine

NO_RULES = json.dumps({"inbound": [], "outbound": []})


@pytest.fixture
def cli() -> Cli:
    return Cli()


@pytest.fixture
def web(cli: Cli) -> Cli:
    cli.done("profile", "add", "web")
    return cli


@pytest.fixture
def bare(cli: Cli) -> Cli:
    """The profile `web` without any rule."""
    cli.done("profile", "add", "web")
    cli.done("profile", "web", "rule", "update", stdin=NO_RULES)
    return cli


def shown(cli: Cli) -> list[str]:
    return cli.done("profile", "web", "rule", "show").splitlines()


def inbound(cli: Cli) -> list[str]:
    lines = shown(cli)
    return [line.split(maxsplit=1)[1] for line in lines[1 : lines.index("Outbound rules:")]]


def add(cli: Cli, rule: str, *options: str) -> str:
    return cli.done("profile", "web", "rule", "add", "inbound", *options, *rule.split())


def test_rules_are_shown_numbered_for_each_direction(web) -> None:
    add(web, "deny tcp to ports 80")
    assert shown(web) == [
        "Inbound rules:",
        "   1 allow from tag web",
        "   2 deny tcp to ports 80",
        "Outbound rules:",
        "   1 allow",
    ]


def test_a_rule_written_without_an_action_is_shown(web) -> None:
    web.store.put(keys.profile_rules("web"), '{"inbound": [{"dst_ports": [80]}], "outbound": []}')
    assert inbound(web) == ["allow to ports 80"]


def test_rules_are_put_where_they_are_wanted(bare) -> None:
    assert add(bare, "allow from tag b") == ""
    add(bare, "allow from tag a", "--at=1")
    add(bare, "allow from tag d", "--at=3")
    add(bare, "allow from tag c", "--at=3")
    add(bare, "allow from tag first", "--at=0")
    assert inbound(bare) == [f"allow from tag {tag}" for tag in ("first", "a", "b", "c", "d")]


def test_a_rule_that_is_there_is_skipped(web) -> None:
    before = web.contents()
    finished = web.run("profile", "web", "rule", "add", "inbound", "allow", "from", "tag", "web")
    assert (finished.exit, finished.out) == (0, "")
    assert "already" in finished.err
    assert web.contents() == before


def test_inbound_and_outbound_are_kept_apart(web) -> None:
    web.done("profile", "web", "rule", "add", "outbound", "deny", "to", "tag", "db")
    rules = profiles.read(web.store, "web").rules
    assert rules == Rules(
        inbound=default_rules("web").inbound,
        outbound=(Rule(), profiles.read(web.store, "web").rules.outbound[1]),
    )
    assert shown(web)[-1] == "   2 deny to tag db"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["add", "inbound", "--at=3", "deny"], "invalid --at '3': expected 1 to 2"),
        (["add", "inbound", "--at=-1", "deny"], "invalid --at '-1'"),
        (["add", "inbound", "--at=x", "deny"], "invalid --at 'x'"),
        (["add", "inbound", "permit"], "expected 'allow' or 'deny'"),
        (["add", "inbound", "allow", "tcp", "to", "ports", "65536"], "invalid port '65536'"),
        (["add", "inbound", "allow", "icmp", "to", "ports", "80"], "protocol 'icmp'"),
        (["remove", "inbound", "--at=2"], "invalid --at '2': expected 1"),
        (["remove", "inbound", "--at=x"], "invalid --at 'x'"),
        (["remove", "inbound", "deny"], "there is no inbound rule `deny`"),
        (["add", "inbound"], "Usage:"),
        (["add", "allow"], "Usage:"),
        (["remove", "inbound", "--at=1", "allow"], "Usage:"),
        (["remove", "inbound"], "Usage:"),
    ],
)
def test_a_change_of_rules_that_makes_no_sense_is_refused(web, words, message) -> None:
    assert message in web.refused("profile", "web", "rule", *words)


@pytest.mark.parametrize(
    "words",
    [["show"], ["json"], ["add", "inbound", "deny"], ["remove", "inbound", "--at=1"], ["update"]],
)
def test_rules_of_a_profile_that_does_not_exist_are_refused(cli, words) -> None:
    assert "profile web does not exist" in cli.refused(
        "profile", "web", "rule", *words, stdin=NO_RULES
    )


def test_a_rule_is_taken_out_by_its_place_or_by_its_words(bare) -> None:
    for tag in "abcd":
        add(bare, f"allow from tag {tag}")
    bare.done("profile", "web", "rule", "remove", "inbound", "--at=2")
    bare.done("profile", "web", "rule", "remove", "inbound", "--at=0")
    bare.done("profile", "web", "rule", "remove", "inbound", "allow", "from", "tag", "d")
    assert inbound(bare) == ["allow from tag c"]


def test_networks_are_compared_as_networks(bare) -> None:
    add(bare, "allow from cidr 1.2.3.4/32")
    bare.done("profile", "web", "rule", "remove", "inbound", "allow", "from", "1.2.3.4")
    assert inbound(bare) == []


def test_rules_are_exchanged_in_the_historical_shape(web) -> None:
    add(web, "deny tcp from cidr 10.0.0.0/8 to ports 80,90:99")
    text = web.done("profile", "web", "rule", "json")
    assert json.loads(text) == {
        "id": "web",
        "inbound_rules": [
            {"action": "allow", "src_tag": "web"},
            {
                "action": "deny",
                "protocol": "tcp",
                "src_net": "10.0.0.0/8",
                "dst_ports": [80, "90:99"],
            },
        ],
        "outbound_rules": [{"action": "allow"}],
    }
    before = web.contents()
    web.done("profile", "web", "rule", "update", stdin=text)
    assert web.contents() == before


def test_an_update_takes_the_guides_shape_and_that_is_what_is_stored(web) -> None:
    text = '{"inbound": [{"src_ports": [80], "action": "allow"}], "outbound": [{}]}'
    web.done("profile", "web", "rule", "update", stdin=text)
    assert json.loads(web.contents()[keys.profile_rules("web")] or "") == {
        "inbound": [{"action": "allow", "src_ports": [80]}],
        "outbound": [{"action": "allow"}],
    }


def test_an_update_mends_rules_that_nobody_can_read(web) -> None:
    web.store.put(keys.profile_rules("web"), "{nonsense")
    err = web.refused("profile", "web", "rule", "show")
    assert keys.profile_rules("web") in err
    assert "calicoctl profile web rule update" in err
    web.done("profile", "web", "rule", "update", stdin=NO_RULES)
    assert shown(web) == ["Inbound rules:", "Outbound rules:"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected valid JSON"),
        ("[]", "expected a JSON object"),
        ("{}", "expected both lists, inbound and outbound"),
        ('{"inbound": []}', "expected both lists, inbound and outbound"),
        ('{"id": "db", "inbound_rules": [], "outbound_rules": []}', "expected web, the profile"),
        ('{"inbound": [], "outbound": [], "bad": 1}', "field of the rules 'bad'"),
        ('{"inbound": [{"acton": "deny"}], "outbound": []}', "field of inbound rule 1, 'acton'"),
        (
            '{"inbound": [{}], "outbound": [{}, {"action": "no"}]}',
            "invalid action of outbound rule 2, 'no'",
        ),
        ('{"inbound": [{"protocol": "icmp", "dst_ports": [1]}], "outbound": []}', "'icmp'"),
        ('{"inbound": [{"icmp_type": 8}], "outbound": []}', "where icmp_type is given"),
        ('{"inbound": [{"dst_ports": ["x"]}], "outbound": []}', "port of inbound rule 1, 'x'"),
        (
            '{"inbound": [], "outbound": [], "inbound": [{}]}',
            "invalid rules 'inbound': expected each",
        ),
        ('{"inbound": [{"src_tag": "a", "src_tag": "b"}], "outbound": []}', "'src_tag'"),
    ],
)
def test_an_update_with_one_fault_changes_nothing(web, text, message) -> None:
    assert message in web.refused("profile", "web", "rule", "update", stdin=text)


def counting(machine: Machine, user: int = ROOT) -> Cli:
    """Where `web` has its default rules, and a rule more, and packets were counted."""
    cli = Cli(machine, user)
    profiles.create(machine.store, "web")
    add(cli, "deny tcp to ports 80")
    counts = {
        Direction.INBOUND: {1: [Count(2, 168), Count(1, 104)], 2: [Count(12, 720)]},
        Direction.OUTBOUND: {1: [Count()]},
    }
    machine.counters = FakeCounters({"web": counts})
    status.write_agent(machine.store, HOST, AgentStatus("now"))
    return cli


def test_each_rule_is_shown_with_what_it_matched_on_this_host() -> None:
    finished = counting(Machine()).run("profile", "web", "rule", "show", "--counters")
    assert (finished.exit, finished.err) == (0, "")
    inbound, outbound = finished.out.split("Outbound rules:")
    assert inbound.startswith("Inbound rules:\n")
    headings = ["No.", "Packets", "Bytes", "Rule"]
    assert cells(inbound) == [
        headings,
        ["1", "3", "272", "allow from tag web"],
        ["2", "12", "720", "deny tcp to ports 80"],
    ]
    assert cells(outbound) == [headings, ["1", "0", "0", "allow"]]


def test_counts_that_do_not_fit_the_rules_are_not_shown() -> None:
    cli = counting(Machine())
    add(cli, "allow udp")
    err = cli.refused("profile", "web", "rule", "show", "--counters")
    assert "the inbound rules of profile web in this host's kernel are not those in etcd" in err
    assert "hint: try again; `calicoctl status`" in err


def test_counts_are_shown_with_a_warning_while_the_agent_is_silent() -> None:
    machine = Machine()
    cli = counting(machine)
    machine.store.delete(keys.agent_status(HOST))
    finished = cli.run("profile", "web", "rule", "show", "--counters")
    assert finished.exit == 0
    assert cells(finished.out)
    assert finished.err == (
        "warning: the policy agent does not report: what was counted may be of older rules\n"
    )


def test_where_nothing_is_counted_that_is_said() -> None:
    machine = Machine()
    cli = counting(machine)
    machine.counters = FakeCounters({})
    command = ("profile", "web", "rule", "show", "--counters")
    assert "profile web is not in use on this host" in cli.refused(*command)
    machine.counters = FakeCounters(None)
    assert "this host has no table" in cli.refused(*command)
    profiles.remove(machine.store, "web")
    assert "profile web does not exist" in cli.refused(*command)


def test_only_root_may_see_what_was_counted() -> None:
    # the counters of this platform raise when they are asked for anything
    cli = Cli(user=NOT_ROOT)
    finished = cli.run("profile", "web", "rule", "show", "--counters")
    assert (finished.exit, finished.out) == (2, "")
    assert "root" in finished.err
    assert cli.store.reads == 0


def test_other_ways_to_show_rules_count_nothing(web) -> None:
    assert "Usage:" in web.refused("profile", "web", "rule", "json", "--counters")
    assert "Usage:" in web.refused("profile", "web", "tag", "show", "--counters")
    assert shown(web)[1] == "   1 allow from tag web"


def data(cli: Cli, *words: str, form: str = "json") -> Any:
    return yaml.safe_load(cli.done("profile", *words, f"--output={form}"))


def test_rules_are_shown_as_data_but_have_no_names(web) -> None:
    add(web, "deny tcp to ports 80,90:99")
    shown = data(web, "web", "rule", "show")
    assert shown["kind"] == "rule"
    assert [each["position"] for each in shown["items"]] == [1, 2, 1]
    assert shown["items"][1] == {
        "profile": "web",
        "direction": "inbound",
        "position": 2,
        "text": "deny tcp to ports 80,90:99",
        "action": "deny",
        "protocol": "tcp",
        "dst_ports": [80, "90:99"],
    }
    err = web.refused("profile", "web", "rule", "show", "--output=name")
    assert "invalid --output 'name': expected table, json or yaml: rules have no names" in err


def test_counts_are_shown_as_data() -> None:
    shown = data(counting(Machine()), "web", "rule", "show", "--counters")
    assert [(each["packets"], each["bytes"]) for each in shown["items"]] == [
        (3, 272),
        (12, 720),
        (0, 0),
    ]


@pytest.mark.parametrize("at", ["3", "4", "99", "-1", "1000000000", "1.5", "²", ""])
def test_T1_a_rule_is_put_only_where_it_leaves_no_gap(web, at) -> None:
    assert "invalid --at" in web.refused(
        "profile", "web", "rule", "add", "inbound", f"--at={at}", "deny"
    )


def test_T1_zero_is_the_first_place_as_old_help_had_it(web) -> None:
    add(web, "deny", "--at=0")
    assert inbound(web) == ["deny", "allow from tag web"]


@pytest.mark.parametrize("at", ["2", "99", "-1", "x"])
def test_T2_a_rule_that_is_not_there_is_not_removed(web, at) -> None:
    writes = web.store.writes
    err = web.refused("profile", "web", "rule", "remove", "inbound", f"--at={at}")
    assert "invalid --at" in err
    assert web.store.writes == writes


@pytest.mark.parametrize(
    "ports", ["65536", "99999", "80:65536", "-1", "80:70", "80,", "", "80,65536", "a", "8²"]
)
def test_T5_ports_that_do_not_exist_are_refused(web, ports) -> None:
    err = web.refused(
        "profile", "web", "rule", "add", "inbound", f"allow tcp to ports {ports} tag x"
    )
    assert "invalid" in err


@pytest.mark.parametrize("number", ["0", "254", "255"])
def test_T5_every_icmp_type_that_there_is_can_be_named(web, number) -> None:
    add(web, f"allow icmp type {number} code {number}")
    assert inbound(web)[-1] == f"allow icmp type {number} code {number}"


def test_T5_a_range_of_one_port_is_that_port_and_300_ports_fit(bare) -> None:
    many = ",".join(str(port) for port in range(1000, 1600, 2))
    add(bare, f"allow tcp from ports 80:80 to ports {many}")
    assert inbound(bare) == [f"allow tcp from ports 80 to ports {many}"]


def test_T6_rules_without_action_and_with_nets_are_shown_and_exchanged(web) -> None:
    text = '{"inbound": [{"src_net": "10.0.0.0/8"}], "outbound": [{}]}'
    web.store.put(keys.profile_rules("web"), text)
    assert inbound(web) == ["allow from cidr 10.0.0.0/8"]
    exchanged = json.loads(web.done("profile", "web", "rule", "json"))
    assert exchanged["inbound_rules"] == [{"action": "allow", "src_net": "10.0.0.0/8"}]


@pytest.mark.parametrize(
    "rule",
    [
        {"protocol": "icmp", "src_ports": [80]},
        {"protocol": "tcp", "dst_ports": "80"},
        {"protocol": "tcp", "dst_ports": []},
        {"protocol": "icmp", "icmp_code": 0},
        {"protocol": "icmp", "icmp_type": 256},
        {"src_tag": "a/b"},
        {"src_net": "10.0.0.0/33"},
        {"src_net": "10.0.0.0/8", "dst_net": "fd80::/64"},
        {"protocol": 0},
        {"protocol": True},
        {"icmp_type": 8},
        [],
        None,
        7,
    ],
)
def test_T7_an_update_whose_last_rule_makes_no_sense_changes_nothing(web, rule) -> None:
    text = json.dumps({"inbound": [{}, {"action": "deny"}, rule], "outbound": []})
    assert "invalid" in web.refused("profile", "web", "rule", "update", stdin=text)
