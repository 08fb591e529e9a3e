import json

import pytest
from hypothesis import HealthCheck, given, settings
from netaddr import IPNetwork

from calico_ctl.errors import Conflict, InvalidValue
from calico_ctl.model import manifest, manifest_text
from calico_ctl.model.pool import Pool
from calico_ctl.model.profile import Profile
from calico_ctl.model.rule import Action, Ports, Rule, Rules
from tests.support.manifests import things

WEB = """
schema: 1
kind: profile
name: web
tags: [web, 80, no]
rules:
  inbound:
    - allow tcp from tag web to ports 80,443
    - {action: deny, protocol: 47, src_tag: 012, dst_net: 10.65.0.0/16}
    - {protocol: tcp, dst_ports: [20:21, 80]}
  outbound: []
"""


def read(text: str) -> list[Profile | Pool]:
    return [each.thing for each in manifest.read(text, "web.yaml")]


def refused(text: str, name: str = "web.yaml") -> str:
    with pytest.raises(InvalidValue) as caught:
        manifest.read(text, name)
    return caught.value.message


def profile(**fields: object) -> str:
    whole: dict[str, object] = {"schema": 1, "kind": "profile", "name": "web", "tags": []}
    whole |= {"rules": {"inbound": [], "outbound": []}} | fields
    return json.dumps({name: value for name, value in whole.items() if value != "absent"})


def test_a_profile_is_read_with_rules_as_texts_and_as_objects() -> None:
    inbound = (
        Rule(protocol="tcp", src_tag="web", dst_ports=(Ports(80, 80), Ports(443, 443))),
        Rule(Action.DENY, "47", src_tag="012", dst_net=IPNetwork("10.65.0.0/16")),
        Rule(protocol="tcp", dst_ports=(Ports(20, 21), Ports(80, 80))),
    )
    assert read(WEB) == [Profile("web", ("web", "80", "no"), Rules(inbound))]


def test_a_pool_is_read_and_options_that_are_not_there_are_off() -> None:
    text = "schema: 1\nkind: pool\ncidr: 10.65.0.0/16\nnat_outgoing: true\n"
    assert read(text) == [Pool(IPNetwork("10.65.0.0/16"), masquerade=True)]
    options = "ipip: true, cross_subnet: true, disabled: true"
    assert read(f"{{schema: 1, kind: pool, cidr: 10.65.0.0/16, {options}}}") == [
        Pool(IPNetwork("10.65.0.0/16"), ipip=True, cross_subnet=True, disabled=True)
    ]


def test_lists_of_one_kind_or_of_several_are_read() -> None:
    web = {"name": "web", "tags": [], "rules": {"inbound": [], "outbound": []}}
    one_kind = {"schema": 1, "kind": "profile", "items": [web]}
    several = {"schema": 1, "kind": "list", "items": [{"kind": "profile"} | web]}
    several["items"] += [{"schema": 1, "kind": "pool", "cidr": "fd80::/64"}]  # type: ignore[operator]
    assert read(json.dumps(one_kind)) == [Profile("web")]
    assert read(json.dumps(several)) == [Profile("web"), Pool(IPNetwork("fd80::/64"))]


def test_every_statement_knows_its_place() -> None:
    pools = "{schema: 1, kind: pool, items: [{cidr: 10.0.0.0/8}, {cidr: 11.0.0.0/8}]}"
    stated = manifest.read(f"{WEB}---\n---\n{pools}", "a.yaml")
    assert [each.place for each in stated] == [
        "a.yaml, document 1",
        "a.yaml, document 3: items[1]",
        "a.yaml, document 3: items[2]",
    ]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(things)
def test_what_is_written_is_read_back(stated) -> None:
    in_yaml = manifest_text.in_yaml([manifest.document(each) for each in stated])
    assert read(in_yaml) == stated
    listed = {"schema": 1, "kind": "list", "items": [manifest.item(each) for each in stated]}
    assert read(json.dumps(listed)) == stated


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schema": 2}, "schema: invalid schema 2: expected 1"),
        ({"schema": True}, "schema: invalid schema True: expected 1"),
        ({"schema": "absent"}, "schema: invalid schema None: expected 1"),
        ({"kind": "absent"}, "kind: invalid kind None: expected profile or pool"),
        ({"kind": ["profile"]}, "kind: invalid kind ['profile']"),
        ({"kind": "Profile"}, "kind: invalid kind 'Profile': expected profile or pool"),
        ({"tag": []}, "invalid field of profile 'tag': expected one of name, tags, rules"),
        ({"tags": "absent"}, "invalid profile without 'tags'"),
        ({"rules": "absent"}, "invalid profile without 'rules'"),
        ({"name": "absent"}, "invalid profile without 'name'"),
        ({"name": None}, "name: invalid profile name None: expected text"),
        ({"name": "a/b"}, "name: invalid profile name 'a/b': expected 1 to 64 characters"),
        ({"name": "x" * 65}, "name: invalid profile name"),
        ({"name": "_x"}, "name: invalid profile name '_x': expected a name that does not start"),
        ({"tags": None}, "tags: invalid tags None: expected a list; [] if it is empty"),
        ({"tags": "web"}, "tags: invalid tags 'web': expected a list"),
        ({"tags": ["a", True]}, "tags[2]: invalid tag True: expected text; put it between quotes"),
        ({"tags": ["a", ["b"]]}, "tags[2]: invalid tag ['b']"),
        ({"tags": ["a b"]}, "tags[1]: invalid tag 'a b'"),
        ({"tags": [{"a": 1}]}, "tags[1]: invalid tag {'a': 1}"),
        ({"rules": []}, "rules: invalid rules []: expected a mapping"),
        ({"rules": {"inbound": []}}, "rules: invalid rules without 'outbound'"),
        ({"rules": {"inbound_rules": []}}, "rules: invalid field of rules 'inbound_rules'"),
        ({"items": []}, "invalid field of list 'name': expected one of schema, kind, items"),
    ],
)
def test_what_is_wrong_in_a_profile_is_named_with_its_path(fields, message) -> None:
    assert refused(profile(**fields)).startswith("web.yaml, document 1")
    assert message in refused(profile(**fields))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("allow tcp form", "invalid word 3 of the rule 'form'"),
        ("", "invalid word 1 of the rule ''"),
        (None, "invalid rule None: expected a text such as"),
        (80, "invalid rule 80"),
        ({"src_tagg": "x"}, ".src_tagg: invalid field 'src_tagg'"),
        ({"action": "pass"}, ".action: invalid action 'pass'"),
        ({"protocol": "tcp", "dst_ports": [80, 65536]}, ".dst_ports: invalid port '65536'"),
        ({"protocol": "tcp", "dst_ports": 80}, ".dst_ports: invalid dst_ports 80: expected a list"),
        ({"protocol": "tcp", "dst_ports": []}, ".dst_ports: invalid dst_ports []"),
        ({"src_net": "10.0.0.0/33"}, ".src_net: invalid src_net '10.0.0.0/33'"),
        ({"src_tag": "a b"}, ".src_tag: invalid tag 'a b'"),
        ({"src_tag": True}, ".src_tag: invalid src_tag True"),
        ({"src_net": None}, ".src_net: invalid src_net 'null': expected a value; leave it out"),
        ({"icmp_type": 8}, ": invalid protocol '(none)': expected icmp or icmpv6"),
        ({"protocol": "icmp", "icmp_type": 256}, ".icmp_type: invalid icmp_type 256"),
        ({"protocol": "icmp", "src_net": "fd80::/64"}, ": invalid net 'fd80::/64'"),
    ],
)
def test_what_is_wrong_in_a_rule_is_named_with_its_path(rule, message) -> None:
    text = profile(rules={"inbound": [], "outbound": ["allow", rule]})
    path = "web.yaml, document 1: rules.outbound[2]"
    assert refused(text).startswith(path + message) or f"{path}: {message}" in refused(text)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("nat_outgoing: true", "invalid pool without 'cidr'"),
        ("cidr: 10.65.0.0/33", "cidr: invalid CIDR '10.65.0.0/33'"),
        ("cidr: 010.0.0.0/8", "cidr: invalid CIDR '010.0.0.0/8'"),
        ("cidr: 10", "cidr: invalid CIDR 10: expected text"),
        ("cidr: 10.65.0.0/16\nipip: yes", "ipip: invalid option 'yes': expected true or false"),
        ("cidr: 10.65.0.0/16\nipip: 1", "ipip: invalid option 1: expected true or false"),
        ("cidr: 10.65.0.0/16\nipip:", "ipip: invalid option None: expected true or false"),
        ("cidr: 10.65.0.0/16\nmasquerade: true", "invalid field of pool 'masquerade'"),
        ("cidr: fd80::/64\nipip: true", "invalid CIDR for ipip 'fd80::/64': expected IPv4"),
    ],
)
def test_what_is_wrong_in_a_pool_is_named_with_its_path(fields, message) -> None:
    message_seen = refused(f"{WEB}---\nschema: 1\nkind: pool\n{fields}\n")
    assert message_seen.startswith("web.yaml, document 2: ")
    assert message in message_seen


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "web.yaml, document 1: invalid document ['a']: expected a mapping"),
        ("a", "web.yaml, document 1: invalid document 'a'"),
        ("a: 1\na: 2", "web.yaml: invalid key on line 2, 'a'"),
        ("{schema: 1, kind: x, items: []}", "document 1: kind: invalid kind 'x'"),
        ("{schema: 1, kind: pool, items: {}}", "document 1: items: invalid items {}"),
        ("{schema: 1, kind: pool, items: [x]}", "document 1: items[1]: invalid item 'x'"),
        ("{schema: 1, kind: list, items: [{cidr: 10.0.0.0/8}]}", "items[1].kind: invalid kind"),
        ("{schema: 1, kind: pool, items: [{schema: 3, cidr: x}]}", "items[1].schema: invalid"),
        ("{schema: 1, kind: pool, items: [{cidr: x}]}", "document 1: items[1].cidr: invalid CIDR"),
    ],
)
def test_what_is_wrong_around_the_things_is_named_too(text, message) -> None:
    assert message in refused(text)


def test_a_thing_that_is_stated_twice_is_refused_with_both_places() -> None:
    stated = manifest.read(f"{WEB}---{WEB}", "a.yaml")
    with pytest.raises(Conflict, match=r"a.yaml, document 2: profile web is stated already in a"):
        manifest.require_consistent(stated)
    manifest.require_consistent(stated[:1])


def test_pools_that_overlap_are_refused_with_both_places() -> None:
    text = (
        '{"schema": 1, "kind": "pool", "items": [{"cidr": "10.0.0.0/8"}, {"cidr": "10.1.0.0/16"}]}'
    )
    message = (
        r"items\[2\]: pool 10.1.0.0/16 overlaps the pool 10.0.0.0/8 of a, document 1: items\[1\]"
    )
    with pytest.raises(Conflict, match=message):
        manifest.require_consistent(manifest.read(text, "a"))


def test_items_have_every_field_and_the_words_of_the_command_line() -> None:
    assert manifest.pool_item(Pool(IPNetwork("10.65.0.0/16"), masquerade=True)) == {
        "cidr": "10.65.0.0/16",
        "ipip": False,
        "nat_outgoing": True,
        "vxlan": False,
        "cross_subnet": False,
        "disabled": False,
    }
    assert manifest.profile_item(Profile("web", ("a", "b"), Rules((Rule(),)))) == {
        "name": "web",
        "tags": ["a", "b"],
        "rules": {"inbound": [{"action": "allow"}], "outbound": []},
    }
