import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from netaddr import IPAddress, IPNetwork

from calico_ctl.errors import InvalidValue
from calico_ctl.model import rule_json
from calico_ctl.model.rule import Action, Ports, Rule, Rules, default_rules

FULL = {
    "action": "deny",
    "protocol": "tcp",
    "src_tag": "web",
    "src_net": "10.65.0.0/24",
    "src_ports": [80, "2048:4000"],
    "dst_tag": "db",
    "dst_net": "10.66.0.0/16",
    "dst_ports": [443],
}


def test_every_field_of_the_guide_is_understood() -> None:
    assert rule_json.rule_from_object(FULL) == Rule(
        Action.DENY,
        "tcp",
        "web",
        IPNetwork("10.65.0.0/24"),
        (Ports(80, 80), Ports(2048, 4000)),
        "db",
        IPNetwork("10.66.0.0/16"),
        (Ports(443, 443),),
    )


def test_a_rule_is_written_as_it_was_read() -> None:
    assert rule_json.rule_to_object(rule_json.rule_from_object(FULL)) == FULL
    icmp = {"action": "allow", "protocol": "icmp", "icmp_type": 8, "icmp_code": 0}
    assert rule_json.rule_to_object(rule_json.rule_from_object(icmp)) == icmp


def test_an_absent_action_means_allow_and_is_written() -> None:
    assert rule_json.rule_from_object({}) == Rule(Action.ALLOW)
    assert rule_json.rule_to_object(Rule()) == {"action": "allow"}


def test_null_counts_as_absent() -> None:
    assert rule_json.rule_from_object(dict.fromkeys(FULL)) == Rule()


def test_ports_need_no_protocol() -> None:
    assert rule_json.rule_from_object({"dst_ports": [80]}).dst_ports == (Ports(80, 80),)


def test_both_shapes_are_read_and_the_guides_is_written() -> None:
    old = {"id": "web", "inbound_rules": [{"src_tag": "web"}], "outbound_rules": [{}]}
    new = {"inbound": [{"src_tag": "web"}], "outbound": [{}]}
    assert rule_json.from_object(old) == rule_json.from_object(new) == default_rules("web")
    assert rule_json.to_object(default_rules("web")) == {
        "inbound": [{"action": "allow", "src_tag": "web"}],
        "outbound": [{"action": "allow"}],
    }


def test_a_missing_list_has_no_rules() -> None:
    assert rule_json.from_object({"inbound": []}) == Rules()


@pytest.mark.parametrize(
    "value",
    [
        {"action": "log"},
        {"action": None, "actoin": "deny"},
        {"protocol": "tpc"},
        {"protocol": 0},
        {"protocol": 256},
        {"protocol": True},
        {"protocol": "06"},
        {"src_tag": 3},
        {"src_tag": "a b"},
        {"src_net": "10.0.0.0/33"},
        {"src_net": 10},
        {"src_ports": 80},
        {"src_ports": []},
        {"src_ports": [65536]},
        {"src_ports": [-1]},
        {"src_ports": [True]},
        {"src_ports": ["90:80"]},
        {"src_ports": ["80:"]},
        {"src_ports": ["80-90"]},
        {"src_ports": [80], "protocol": "icmp"},
        {"dst_ports": [80], "protocol": 50},
        {"icmp_type": 8},
        {"icmp_type": 8, "protocol": "tcp"},
        {"icmp_type": 256, "protocol": "icmp"},
        {"icmp_code": 1, "protocol": "icmp"},
        {"src_net": "10.0.0.0/8", "dst_net": "fd80::/64"},
        {"src_net": "10.0.0.0/8", "protocol": "icmpv6"},
        {"src_net": "fd80::/64", "protocol": "icmp"},
        {"!src_tag": "web"},
        [],
        "allow",
        None,
    ],
)
def test_what_cannot_be_meant_is_refused(value: object) -> None:
    with pytest.raises(InvalidValue):
        rule_json.rule_from_object(value)


@pytest.mark.parametrize("action", [[], {}])
def test_an_action_that_is_no_text_is_refused(action: object) -> None:
    with pytest.raises(InvalidValue):
        rule_json.rule_from_object({"action": action})


@pytest.mark.parametrize(
    "value",
    [{"inbund": []}, {"inbound": {}}, {"inbound": [], "inbound_rules": []}, {"inbound": [1]}],
)
def test_rules_of_no_shape_are_refused(value) -> None:
    with pytest.raises(InvalidValue):
        rule_json.from_object(value)


@pytest.mark.parametrize(
    ("given_", "name"), [(6, "tcp"), ("17", "udp"), (1, "icmp"), (47, "47"), ("UDP", "udp")]
)
def test_numbers_of_known_protocols_become_their_names(given_, name: str) -> None:
    assert rule_json.rule_from_object({"protocol": given_}).protocol == name


ports = st.tuples(st.integers(0, 65535), st.integers(0, 65535)).map(lambda p: Ports(min(p), max(p)))
tags = st.none() | st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
nets = st.none() | st.builds(
    lambda number, length: IPNetwork(f"{IPAddress(number, 4)}/{length}").cidr,
    st.integers(0, 2**32 - 1),
    st.integers(0, 32),
)
rules = st.builds(
    Rule,
    st.sampled_from(Action),
    st.sampled_from([None, "tcp", "udp", "sctp", "udplite"]),
    tags,
    nets,
    st.lists(ports, max_size=3).map(tuple),
    tags,
    nets,
    st.lists(ports, max_size=3).map(tuple),
)


@given(st.lists(rules, max_size=3), st.lists(rules, max_size=3))
def test_rules_survive_being_written_and_read(inbound, outbound) -> None:
    written = Rules(tuple(inbound), tuple(outbound))
    assert rule_json.from_object(rule_json.to_object(written)) == written


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
)


@given(st.dictionaries(st.sampled_from(sorted([*FULL, "icmp_type", "icmp_code"])), json_values))
def test_any_value_of_any_field_is_read_or_refused(value) -> None:
    assume(not isinstance(value.get("action"), list | dict))  # has a test of its own
    try:
        rule_json.rule_from_object(value)
    except InvalidValue:
        return


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"protocol": "tcp", "dst_ports": [80, 70000]}, "dst_ports"),
        ({"action": "allow", "colour": "red"}, "colour"),
        ({"src_tag": "a b", "dst_tag": "c d"}, "src_tag"),
        ({"protocol": "icmp", "dst_ports": [80]}, None),
    ],
)
def test_the_field_at_fault_is_told_unless_it_is_no_single_one(value, field) -> None:
    with pytest.raises(InvalidValue):
        rule_json.rule_from_object(value)
    assert rule_json.field_at_fault(value) == field
