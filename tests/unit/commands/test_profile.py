import json

import pytest

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


def test_a_new_profile_has_its_own_tag_and_the_default_rules(cli) -> None:
    assert cli.done("profile", "add", "web") == "Created profile web\n"
    assert profiles.read(cli.store, "web") == profiles.Profile(
        "web", ("web",), default_rules("web")
    )


def test_adding_a_profile_again_says_so_and_keeps_what_it_has(web) -> None:
    add(web, "deny")
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
        (["add", "inbound"], "do not form a command"),
        (["add", "allow"], "do not form a command"),
        (["remove", "inbound", "--at=1", "allow"], "do not form a command"),
        (["remove", "inbound"], "do not form a command"),
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
    add(bare, "allow from cidr 1.2.3.4/8")
    bare.done("profile", "web", "rule", "remove", "inbound", "allow", "from", "1.0.0.0/8")
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
        ('{"inbound": [{"acton": "deny"}], "outbound": []}', "field of a rule 'acton'"),
        ('{"inbound": [{"action": "no"}], "outbound": []}', "invalid action 'no'"),
        ('{"inbound": [{"protocol": "icmp", "dst_ports": [1]}], "outbound": []}', "'icmp'"),
        ('{"inbound": [{"icmp_type": 8}], "outbound": []}', "where icmp_type is given"),
        ('{"inbound": [{"dst_ports": ["x"]}], "outbound": []}', "invalid port 'x'"),
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
    assert "do not form a command" in web.refused("profile", "web", "rule", "json", "--counters")
    assert "do not form a command" in web.refused("profile", "web", "tag", "show", "--counters")
    assert shown(web)[1] == "   1 allow from tag web"
