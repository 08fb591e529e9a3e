"""What of the cluster's policy reaches this host's table, and what of it each change touches."""

import itertools
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calico_ctl.model import keys
from calico_ctl.model.endpoint import EndpointKey, State
from calico_ctl.model.rule import Direction
from calico_ctl.policy import compile as policy_compile
from calico_ctl.policy import desired as policy_desired
from calico_ctl.policy import layout
from calico_ctl.policy.compile import IS_NOT_ALLOWED
from calico_ctl.policy.desired import Change, Desired
from calico_ctl.policy.ruleset import Ruleset, Set, Step, VerdictMap
from tests.support.states import HOST, STATES, WEB, desired, endpoint, profile, ruleset, walk

A, A6 = "10.65.0.97", "fd80::61"
B, B6 = "10.65.0.98", "fd80::62"
TO_HOST = "/calico/config/DefaultEndpointToHostAction"
ON_HOST1 = "/calico/host/host1/config/DefaultEndpointToHostAction"


def taken(state: str | dict[str, str]) -> Desired:
    host = desired(STATES[state] if isinstance(state, str) else state)
    host.take()
    return host


def change(before: str | dict[str, str], after: Mapping[str, str | None]) -> Change:
    """Write keys after a state was taken; return what that changes."""
    host = taken(before)
    for key, value in after.items():
        host.apply(key, value, 2)
    return host.take()


def key_of(name: str) -> EndpointKey:
    return EndpointKey(HOST, "docker", name, name)


def dispatched(contents: dict[str, str]) -> set[str]:
    table = ruleset(contents)
    first, second = (set(table.maps[name].verdicts) for name in layout.DISPATCH)
    assert first == second
    return first


def after(installed: Ruleset, step: Step) -> Ruleset:
    """Take a step in memory, as the kernel would."""
    chains = {k: v for k, v in installed.chains.items() if k not in step.before.chains}
    sets, maps = dict(installed.sets), dict(installed.maps)
    for name in step.before.sets.keys() - step.after.sets.keys():
        del sets[name]
    for name, item in step.after.sets.items():
        left = step.before.sets[name].elements if name in step.before.sets else frozenset()
        present = sets[name].elements if name in sets else frozenset()
        assert left <= present, f"{name} never had {left - present}"
        elements = (present - left) | item.elements
        sets[name] = Set(item.type, elements, item.interval, item.counted)
    for name, verdicts in step.after.maps.items():
        gone = step.before.maps[name].verdicts
        kept = {k: v for k, v in maps[name].verdicts.items() if k not in gone}
        maps[name] = VerdictMap(kept | dict(verdicts.verdicts))
    return Ruleset(chains | dict(step.after.chains), sets, maps)


def is_of_elements_only(step: Step) -> bool:
    return (
        not step.before.chains
        and not step.after.chains
        and step.before.sets.keys() == step.after.sets.keys()
        and step.before.maps.keys() == step.after.maps.keys()
    )


def test_nothing_known_means_nothing_passes():
    table = policy_desired.empty()
    assert all(not table.maps[name].verdicts for name in layout.DISPATCH)
    assert all(table.chains[name].rules[-1] == "counter drop" for name in ("disp-from", "disp-to"))


@pytest.mark.parametrize("state", STATES)
def test_the_size_is_that_of_the_table_without_what_is_always_there(state):
    host = taken(state)
    table, always = host.table(), layout.static_chains()
    size = host.size()
    assert size.sets == len(table.sets)
    assert size.rules == sum(
        len(chain.rules) for name, chain in table.chains.items() if name not in always
    )
    used = {name for each in host.enforced.values() for name in each.profiles}
    assert size.profiles == len(used)


def test_an_active_local_endpoint_is_let_in_by_interface_and_address_and_by_its_mac():
    table = ruleset(STATES["one endpoint"])
    assert table.maps["to-ep"].verdicts == {'"calia"': "goto t-web"}
    assert table.maps["from-ep"].verdicts == {'"calia"': "goto f-web"}
    assert table.sets["src4"].elements == {'"calia" . 10.65.0.97'}
    assert table.sets["src6"].elements == {'"calia" . fd80::61'}
    assert table.sets["macs"].elements == {'"calia" . 02:00:00:00:00:97'}
    assert table.sets["any-mac"].elements == frozenset()


def test_an_endpoint_without_mac_is_let_in_with_any():
    table = ruleset(STATES["without MAC"])
    assert table.sets["src4"].elements == {'"calia" . 10.65.0.97'}
    assert table.sets["any-mac"].elements == {'"calia"'}
    assert table.sets["macs"].elements == frozenset()


def test_every_endpoint_has_its_counters_of_dropped_packets():
    table = ruleset(STATES["one endpoint"])
    assert all(table.sets[name].elements == {'"calia"'} for name in layout.DROPPED)
    assert all(table.sets[name].counted for name in layout.DROPPED)


def test_an_endpoint_without_its_profile_is_denied_at_that_position():
    table = ruleset(STATES["one endpoint without its profile"])
    assert table.chains["pi-web"].rules[0].startswith("counter goto drop-to")
    assert table.chains["po-web"].rules[0].startswith("counter goto drop-from")


def test_an_endpoint_elsewhere_is_a_member_and_nothing_more():
    contents = STATES["a member elsewhere"]
    assert dispatched(contents) == {'"calia"'}
    assert ruleset(contents).sets["t4-web"].elements == {"10.65.0.97", "10.65.0.98"}


def test_an_inactive_endpoint_stays_a_member_but_may_not_pass():
    contents = STATES["an inactive member"]
    assert dispatched(contents) == {'"calia"'}
    assert "10.65.0.98" in ruleset(contents).sets["t4-web"].elements


def test_two_endpoints_that_claim_one_interface_are_both_shut_out_until_one_gives_in():
    key, value = endpoint("b", interface="cali1")
    contents = dict([endpoint("a", interface="cali1"), (key, value)]) | WEB
    assert dispatched(contents) == set()
    host = taken(contents)
    host.apply(key, None, 2)
    host.take()
    assert set(host.enforced) == {"cali1"}


def test_why_an_endpoint_is_shut_out_is_said():
    host = taken(dict([endpoint("a", interface="cali1"), endpoint("b", interface="cali1")]))
    assert host.shut_out(key_of("a")) == "endpoint b claims its interface cali1 too"
    assert "ours begin with cali" in taken(dict([endpoint("a", interface="eth0")])).shut_out(
        key_of("a")
    )
    assert taken("one endpoint").shut_out(key_of("a")) == ""
    assert taken(dict([endpoint("a", state=State.INACTIVE)])).shut_out(key_of("a")) == ""


def test_an_interface_that_is_not_ours_is_never_let_in():
    assert dispatched(dict([endpoint("a", interface="eth0")]) | WEB) == set()


def test_profiles_are_asked_in_the_order_of_the_endpoint():
    for profiles in (("db", "web"), ("web", "db")):
        table = ruleset(dict([endpoint("a", profiles=profiles)]) | WEB)
        verdict = table.maps["to-ep"].verdicts['"calia"']
        rules = table.chains[verdict.removeprefix("goto ")].rules
        assert [r for r in rules if r.startswith("jump")] == [f"jump pi-{p}" for p in profiles]


def test_endpoints_with_one_list_of_profiles_share_its_chains():
    table = ruleset(STATES["one list of profiles for two"])
    assert len(set(table.maps["to-ep"].verdicts.values())) == 1
    assert len(table.maps["to-ep"].verdicts) == 2


def test_only_tags_that_local_rules_ask_about_become_sets():
    table = ruleset(STATES["two profiles"])
    tag_sets = {name for name in table.sets if name.startswith(("t4", "t6"))}
    assert tag_sets == {"t4-web", "t6-web", "t4-app", "t6-app"}
    assert table.sets["t4-app"].elements == frozenset()


def test_rules_with_the_same_list_of_ports_share_one_set_until_the_last_is_gone():
    rules = '{"inbound": [{"protocol": "tcp", "dst_ports": [443, 80, "8000:8080"]}]}'
    pair = dict([endpoint("a", profiles=("web", "db"))])
    both = profile("web", rules) | profile("db", rules)
    name = "p-80.443.8000-8080"
    ports = frozenset({"80", "443", "8000-8080"})
    host = taken(pair | both)
    assert host.table().sets[name] == Set("inet_service", ports, interval=True)
    host.apply("/calico/policy/profile/db/rules", "{}", 2)
    assert name not in host.take().step.before.sets
    host.apply("/calico/policy/profile/web/rules", "{}", 3)
    assert name in host.take().step.before.sets
    assert name not in host.table().sets


def test_a_set_of_ports_that_goes_and_comes_in_one_change_stays():
    rules = '{"inbound": [{"protocol": "tcp", "dst_ports": [80, 443]}]}'
    before = dict([endpoint("a", profiles=("web", "db"))]) | profile("web", rules)
    for first, second in (("web", "db"), ("db", "web")):
        host = taken(before)
        texts = {"web": "{}", "db": rules}
        host.apply(f"/calico/policy/profile/{first}/rules", texts[first], 2)
        host.apply(f"/calico/policy/profile/{second}/rules", texts[second], 2)
        step = host.take().step
        assert "p-80.443" not in step.before.sets.keys() | step.after.sets.keys()


def test_translation_is_asked_about_only_while_a_pool_wants_it():
    assert "nat-post" in ruleset(STATES["pools"]).chains
    plain = {"/calico/ipam/v4/pool/10.65.0.0-16": '{"cidr": "10.65.0.0/16"}'}
    assert "nat-post" not in ruleset(plain).chains
    told = change("pools", dict.fromkeys(STATES["pools"].keys() - STATES["one endpoint"].keys()))
    assert "nat-post" in told.step.before.chains
    assert "nat-post" not in told.step.after.chains


def test_pools_that_touch_are_written_as_one():
    table = ruleset(STATES["pools"])
    assert table.sets["pools4"].elements == table.sets["masq4"].elements == {"10.65.0.0/16"}
    assert table.sets["pools6"].elements == {"fd80::/64"}
    assert table.sets["masq6"].elements == frozenset()


@pytest.mark.parametrize(
    ("setting", "rules"),
    [
        ("RETURN", ("jump disp-from", f"{IS_NOT_ALLOWED} goto drop-from", "return")),
        ("accept", ("jump disp-from", f"{IS_NOT_ALLOWED} goto drop-from", "accept")),
        ("DROP", ("goto drop-from",)),
        ("nonsense", ("goto drop-from",)),
    ],
)
def test_what_containers_may_send_to_their_host_is_a_setting(setting: str, rules: tuple[str, ...]):
    contents = dict([endpoint("a")]) | {ON_HOST1: setting, TO_HOST: "ACCEPT"}
    assert ruleset(contents).chains[layout.TO_HOST_CHAIN].rules == rules


def test_a_setting_that_means_nothing_is_a_problem_with_its_key():
    host = taken({TO_HOST: "open"})
    assert list(host.problems) == [TO_HOST]
    assert "RETURN, ACCEPT or DROP" in host.problems[TO_HOST]
    host.apply(TO_HOST, "accept", 2)
    assert host.problems == {}


def test_a_log_level_that_is_none_is_a_problem_with_its_key():
    everywhere = keys.global_config("LogSeverityScreen")
    here, elsewhere = (keys.host_config(each, "LogSeverityScreen") for each in ("host1", "host2"))
    host = taken({everywhere: "loud", here: " Debug\n", elsewhere: "loud"})
    assert list(host.problems) == [everywhere]
    assert "critical; until then it is info" in host.problems[everywhere]
    host.apply(everywhere, "error", 2)
    assert host.problems == {}


def test_an_inactive_endpoint_alone_changes_no_chain():
    contents = dict([endpoint("a", state=State.INACTIVE)])
    assert ruleset(contents) == policy_desired.empty()


def test_local_endpoints_are_known_readable_or_not():
    broken = "/calico/host/host1/workload/docker/x/endpoint/y"
    host = taken(STATES["a member elsewhere"] | {broken: "{"})
    assert {key.id for key in host.local} == {"a", "y"}
    host.apply(broken, None, 2)
    assert host.local == {key_of("a")}


def test_one_rule_changed_touches_one_chain():
    rules = '{"inbound": [{"src_tag": "web"}, {"protocol": "tcp"}], "outbound": [{}]}'
    step = change("one endpoint", {"/calico/policy/profile/web/rules": rules}).step
    assert step.before.chains.keys() == step.after.chains.keys() == {"pi-web"}
    assert not step.before.sets
    assert not step.after.maps


def test_one_member_more_touches_one_element_of_each_family():
    step = change("one endpoint", dict([endpoint("b", host="host2")])).step
    assert is_of_elements_only(step)
    assert step.after.sets == {
        "t4-web": Set("ipv4_addr", frozenset({"10.65.0.98"})),
        "t6-web": Set("ipv6_addr", frozenset({"fd80::62"})),
    }
    assert not step.before.sets["t4-web"].elements


def test_one_endpoint_more_with_a_known_list_of_profiles_touches_only_elements():
    step = change("one endpoint", dict([endpoint("c")])).step
    assert is_of_elements_only(step)
    assert step.after.maps["to-ep"].verdicts == {'"calic"': "goto t-web"}


def test_an_endpoint_written_again_as_it_was_changes_nothing_but_is_noted():
    told = change("one endpoint", dict([endpoint("a")]))
    assert not told.step
    assert told.local
    assert not change("one endpoint", dict([endpoint("b", host="host2")])).local


def test_a_profile_that_nobody_here_has_touches_nothing():
    told = change("one endpoint", profile("other", '{"inbound": [{}]}', "x"))
    assert not told.step
    assert told.judge == frozenset()


def test_nothing_came_so_nothing_changes():
    host = taken("one endpoint")
    assert host.take() == Change(Step(Ruleset(), Ruleset()))


def test_changed_rules_have_the_connections_of_their_endpoints_looked_at():
    told = change("a member elsewhere", profile("web", "{}"))
    assert told.judge >= {A, A6}


def test_a_member_that_left_or_joined_has_its_connections_looked_at():
    key, value = endpoint("b", host="host2")
    assert change("one endpoint", {key: value}).judge == {B, B6}
    assert change("a member elsewhere", {key: None}).judge == {B, B6}


def test_another_list_of_profiles_has_the_endpoints_connections_looked_at():
    assert change("one endpoint", dict([endpoint("a", profiles=())])).judge == {A, A6}


def test_a_changed_setting_has_all_connections_looked_at():
    assert change("one endpoint", {TO_HOST: "DROP"}).judge == {A, A6}
    assert change("one endpoint", {TO_HOST: "RETURN"}).judge == frozenset()


def test_the_connections_of_an_endpoint_that_goes_are_forgotten():
    key, _ = endpoint("a")
    told = change("one list of profiles for two", {key: None})
    assert told.forget == {A, A6}


def test_connections_of_an_address_that_moves_to_another_endpoint_here_are_not_forgotten():
    key, value = endpoint("a")
    other, _ = endpoint("z")
    told = change("one endpoint", {key: None, other: value.replace("calia", "caliz")})
    assert told.forget == frozenset()
    assert told.judge >= {A, A6}


@given(st.lists(st.sampled_from(list(STATES)), min_size=1, max_size=6))
def test_every_walk_adds_up_to_the_table_of_a_fresh_start(path: list[str]):
    host = desired({})
    host.take()
    installed = host.table()
    for before, state in itertools.pairwise(["empty", *path]):
        installed = after(installed, walk(host, STATES[before], STATES[state]))
        assert installed == ruleset(STATES[state])
        assert host.table() == ruleset(STATES[state])


def begun(contents: Mapping[str, str]) -> Desired:
    host = Desired(HOST)
    host.begin({key: (value, 1) for key, value in contents.items()})
    return host


@pytest.mark.parametrize("state", STATES)
def test_a_complete_read_gives_the_same_table_as_the_keys_one_by_one(state: str):
    host = begun(STATES[state])
    host.take()
    assert host.table() == ruleset(STATES[state])
    host.read_rest()
    assert not host.take().step
    assert host.problems == desired(STATES[state]).problems


BROKEN = profile("db", '{"inbound": [{}', "db")
DB_RULES = "/calico/policy/profile/db/rules"


def test_rules_that_nobody_here_has_are_read_last_for_their_problems():
    host = begun(dict([endpoint("a"), endpoint("b", host="host2", profiles=("db",))]) | BROKEN)
    host.take()
    assert host.problems == {}
    host.read_rest()
    assert host.all_read
    assert list(host.problems) == [DB_RULES]


def test_rules_that_somebody_here_has_are_read_with_the_table():
    host = begun(dict([endpoint("a", profiles=("db",))]) | BROKEN)
    host.take()
    assert list(host.problems) == [DB_RULES]


@pytest.mark.parametrize("rest_was_read", [False, True])
def test_an_endpoint_that_comes_later_gets_its_rules(rest_was_read: bool):
    host = begun(WEB)
    if rest_was_read:
        host.read_rest()
    host.take()
    key, value = endpoint("a")
    host.apply(key, value, 2)
    host.take()
    assert host.table() == ruleset(STATES["one endpoint"])


@pytest.mark.parametrize("value", [None, '{"outbound": [{"protocol": "udp"}]}'])
def test_rules_that_changed_before_they_were_read_are_those_that_came_last(value: str | None):
    contents = dict([endpoint("a")]) | WEB
    rules = "/calico/policy/profile/web/rules"
    host = begun(contents)
    host.apply(rules, value, 2)
    host.read_rest()
    host.take()
    after = {key: text for key, text in (contents | {rules: value}).items() if text is not None}
    assert host.table() == ruleset(after)


@given(st.permutations(list(STATES["two profiles"].items() | STATES["pools"].items())))
def test_keys_may_come_in_any_order(items: list[tuple[str, str]]):
    contents = dict(sorted(items))
    host = desired({})
    host.take()
    for key, value in items:
        if contents[key] == value:
            host.apply(key, value, 1)
            host.take()
    assert host.table() == ruleset(contents)


def test_the_chain_of_a_list_is_named_apart_from_every_profile():
    lists = [("web",), ("web", "db"), ("db", "web"), ("web/db",), ()]
    names = {policy_compile.endpoint_chain(each, Direction.INBOUND) for each in lists[:3]}
    assert len(names) == 3
    assert policy_compile.endpoint_chain((), Direction.INBOUND).startswith("t-/")


def test_tunnels_are_guarded_while_a_pool_has_them_by_the_hosts_that_there_are():
    pool = "/calico/ipam/v4/pool/10.65.0.0-16"
    host2, host3 = "/calico/host/host2/bird_ip", "/calico/bgp/v1/host/host3/ip_addr_v4"
    guarded = {pool: '{"cidr": "10.65.0.0/16", "vxlan": "vxlan.calico"}', host2: "10.99.0.2"}
    table = ruleset(guarded | {host3: " 10.99.0.3 ", "/calico/host/host4/bird_ip": "nonsense"})
    assert table.sets["hosts4"].elements == {"10.99.0.2", "10.99.0.3"}
    assert layout.tunnel_chains().items() <= table.chains.items()
    assert "hosts4" not in ruleset(guarded | {pool: '{"cidr": "10.65.0.0/16"}'}).sets
    moved = change(guarded, {host2: "10.99.0.5"})
    assert moved.step.after.sets["hosts4"].elements == {"10.99.0.5"}
    gone = change(guarded, {pool: None})
    assert {"tunnel-in", "tunnel-fwd"} <= gone.step.before.chains.keys()
    assert {"hosts4", "hosts6"} <= gone.step.before.sets.keys() - gone.step.after.sets.keys()
