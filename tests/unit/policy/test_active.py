"""What of the cluster's policy reaches this host's table."""

import pytest

from calico_ctl.model.endpoint import State
from calico_ctl.policy import active
from tests.support.states import STATES, WEB, endpoint, ruleset

DISPATCH = ("from-ep", "to-ep")


def dispatched(contents: dict[str, str]) -> set[str]:
    table = ruleset(contents)
    first, second = (set(table.maps[name].verdicts) for name in DISPATCH)
    assert first == second
    return first


def test_nothing_known_means_nothing_passes():
    table = active.empty()
    assert all(not table.maps[name].verdicts for name in DISPATCH)
    assert all(table.chains[name].rules[-1] == "counter drop" for name in ("disp-from", "disp-to"))


def test_an_active_local_endpoint_is_let_in_by_interface_mac_and_address():
    table = ruleset(STATES["one endpoint"])
    assert table.maps["to-ep"].verdicts == {'"calia"': "goto t-calia"}
    assert table.sets["src4m"].elements == {'"calia" . 02:00:00:00:00:97 . 10.65.0.97'}
    assert table.sets["src6m"].elements == {'"calia" . 02:00:00:00:00:97 . fd80::61'}


def test_an_endpoint_without_its_profile_is_denied_at_that_position():
    table = ruleset(STATES["one endpoint without its profile"])
    assert table.chains["pi-web"].rules[0].startswith("counter drop")
    assert table.chains["po-web"].rules[0].startswith("counter drop")


def test_an_endpoint_elsewhere_is_a_member_and_nothing_more():
    contents = STATES["a member elsewhere"]
    assert dispatched(contents) == {'"calia"'}
    assert ruleset(contents).sets["t4-web"].elements == {"10.65.0.97", "10.65.0.98"}


def test_an_inactive_endpoint_stays_a_member_but_may_not_pass():
    contents = STATES["an inactive member"]
    assert dispatched(contents) == {'"calia"'}
    assert "10.65.0.98" in ruleset(contents).sets["t4-web"].elements


def test_two_endpoints_that_claim_one_interface_are_both_shut_out():
    contents = dict([endpoint("a", interface="cali1"), endpoint("b", interface="cali1")]) | WEB
    assert dispatched(contents) == set()


def test_an_interface_that_is_not_ours_is_never_let_in():
    assert dispatched(dict([endpoint("a", interface="eth0")]) | WEB) == set()


def test_profiles_are_asked_in_the_order_of_the_endpoint():
    rules = ruleset(STATES["two profiles"]).chains["t-calia"].rules
    assert [rule for rule in rules if rule.startswith("jump")] == ["jump pi-db", "jump pi-web"]


def test_only_tags_that_local_rules_ask_about_become_sets():
    table = ruleset(STATES["two profiles"])
    tag_sets = {name for name in table.sets if name.startswith("t")}
    assert tag_sets == {"t4-web", "t6-web", "t4-app", "t6-app"}
    assert table.sets["t4-app"].elements == frozenset()


def test_pools_that_touch_are_written_as_one():
    table = ruleset(STATES["pools"])
    assert table.sets["pools4"].elements == table.sets["masq4"].elements == {"10.65.0.0/16"}
    assert table.sets["pools6"].elements == {"fd80::/64"}
    assert table.sets["masq6"].elements == frozenset()


@pytest.mark.parametrize(
    ("setting", "last"),
    [
        ("RETURN", "return"),
        ("ACCEPT", "accept"),
        ("DROP", "counter drop"),
        ("nonsense", "counter drop"),
    ],
)
def test_what_containers_may_send_to_their_host_is_a_setting(setting: str, last: str):
    key = "/calico/host/host1/config/DefaultEndpointToHostAction"
    rules = ruleset(dict([endpoint("a")]) | {key: setting}).chains["flt-in"].rules
    assert rules[-1] == last
    assert ("jump disp-from" in rules) == (last != "counter drop")


def test_an_inactive_endpoint_alone_changes_no_chain():
    contents = dict([endpoint("a", state=State.INACTIVE)])
    assert ruleset(contents) == active.empty()
