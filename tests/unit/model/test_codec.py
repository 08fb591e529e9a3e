import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from netaddr import IPAddress, IPNetwork

from calico_ctl.errors import InvalidValue
from calico_ctl.model import codec
from calico_ctl.model.endpoint import Endpoint, EndpointKey, State
from calico_ctl.model.pool import Pool
from calico_ctl.model.rule import default_rules

KEY = EndpointKey("h1", "docker", "c1", "e1")
GUIDE = {
    "state": "active",
    "name": "cali1b9d1bff88c",
    "mac": "02:00:00:00:00:01",
    "profile_id": "web",
    "ipv4_nets": ["192.168.1.1/32"],
    "ipv6_nets": ["fd80::5/128"],
    "ipv4_gateway": "172.16.0.1",
    "ipv6_gateway": None,
}
POOL = IPNetwork("10.65.0.0/16")


def decode(**changes: object) -> Endpoint:
    return codec.decode_endpoint(KEY, json.dumps(GUIDE | changes))


def written(endpoint: Endpoint) -> dict[str, object]:
    value = json.loads(codec.encode_endpoint(endpoint))
    assert isinstance(value, dict)
    return value


def test_an_endpoint_of_the_guide_is_read() -> None:
    assert decode() == Endpoint(
        KEY,
        State.ACTIVE,
        "cali1b9d1bff88c",
        "02:00:00:00:00:01",
        ("web",),
        (IPAddress("192.168.1.1"), IPAddress("fd80::5")),
        IPAddress("172.16.0.1"),
        None,
    )


def test_an_endpoint_is_written_with_exactly_the_eight_fields_of_the_guide() -> None:
    assert written(decode()) == GUIDE
    assert written(decode(profile_id=None)) == GUIDE | {"profile_id": None}


def test_several_profiles_are_written_beside_the_first() -> None:
    endpoint = decode().with_profiles(("a", "b"))
    assert written(endpoint) == GUIDE | {"profile_id": "a", "profile_ids": ["a", "b"]}
    assert codec.decode_endpoint(KEY, codec.encode_endpoint(endpoint)) == endpoint


@pytest.mark.parametrize(
    ("fields", "profiles"),
    [
        ({"profile_id": "a", "profile_ids": ["a", "b"]}, ("a", "b")),
        ({"profile_id": "c", "profile_ids": ["a", "b"]}, ("c",)),
        ({"profile_id": None, "profile_ids": ["a", "b"]}, ()),
        ({"profile_id": "", "profile_ids": None}, ()),
        ({"profile_id": "a", "profile_ids": []}, ("a",)),
        ({"profile_ids": ["b", "a", "b"], "profile_id": "b"}, ("b", "a")),
    ],
)
def test_whoever_rewrote_only_the_profile_id_decides(fields, profiles: tuple[str, ...]) -> None:
    assert decode(**fields).profiles == profiles


def test_the_list_alone_counts() -> None:
    value = {name: item for name, item in GUIDE.items() if name != "profile_id"}
    read = codec.decode_endpoint(KEY, json.dumps(value | {"profile_ids": ["a", "b"]}))
    assert read.profiles == ("a", "b")


def test_what_many_endpoints_have_in_common_is_kept_once() -> None:
    one, another = decode(), decode(mac="02:00:00:00:00:02")
    assert one.profiles is another.profiles
    assert one.ipv4_gateway is another.ipv4_gateway


def test_fields_of_others_survive_a_rewrite() -> None:
    assert written(decode(mine={"a": [1]}))["mine"] == {"a": [1]}


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "running"},
        {"state": None},
        {"name": None},
        {"name": "x" * 16},
        {"mac": "02-00"},
        {"mac": 1},
        {"profile_id": 3},
        {"profile_id": "a b"},
        {"profile_ids": "a"},
        {"profile_ids": [1]},
        {"ipv4_nets": "192.168.1.1/32"},
        {"ipv4_nets": ["192.168.1.0/24"]},
        {"ipv4_nets": ["fd80::5/128"]},
        {"ipv6_nets": ["192.168.1.1/32"]},
        {"ipv4_gateway": "fd80::1"},
        {"ipv6_gateway": True},
    ],
)
def test_an_endpoint_that_cannot_be_meant_is_refused(changes) -> None:
    with pytest.raises(InvalidValue):
        decode(**changes)


@pytest.mark.parametrize("missing", ["mac", "profile_id", "ipv4_nets", "ipv6_nets", "ipv4_gateway"])
def test_what_may_be_absent_may_be_absent(missing: str) -> None:
    value = {name: item for name, item in GUIDE.items() if name != missing}
    assert codec.decode_endpoint(KEY, json.dumps(value)).name == GUIDE["name"]


def test_tags_are_read_once_each_and_in_order() -> None:
    assert codec.decode_tags('["web", "db", "web"]') == ("web", "db")
    assert codec.decode_tags("[]") == ()
    assert codec.encode_tags(("web", "db")) == '["web", "db"]'


@pytest.mark.parametrize("text", ["[logger]", " [ logger ] "])
def test_tags_without_their_quotes_are_read(text: str) -> None:
    assert codec.decode_tags(text) == ("logger",)
    assert codec.tags_lost_their_quotes(text)


def test_several_tags_without_their_quotes_are_read() -> None:
    assert codec.decode_tags("[a, b]") == ("a", "b")
    assert not codec.tags_lost_their_quotes('["a"]')
    assert not codec.tags_lost_their_quotes("rubbish")


@pytest.mark.parametrize(
    "text", ["", "{}", '"web"', '["a b"]', "[1]", "[a b]", "[a,,b]", "[a", '["..",]']
)
def test_other_tags_are_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        codec.decode_tags(text)


def test_rules_are_written_in_the_guides_shape() -> None:
    text = codec.encode_rules(default_rules("web"))
    assert set(json.loads(text)) == {"inbound", "outbound"}
    assert codec.decode_rules(text) == default_rules("web")


@pytest.mark.parametrize(
    "text",
    [
        '{"cidr": "10.65.0.0/16"}',
        "10.65.0.0/16",
        " 10.65.0.0/16\n",
        '{"cidr": "10.65.0.0/16", "ipip": ""}',
    ],
)
def test_a_pool_is_read_as_an_object_or_as_bare_text(text: str) -> None:
    assert codec.decode_pool(POOL, text) == Pool(POOL)


def test_the_options_of_a_pool_are_kept() -> None:
    pool = Pool(POOL, ipip=True, masquerade=True, extra={"mine": 1})
    text = codec.encode_pool(pool)
    assert json.loads(text) == {"cidr": str(POOL), "ipip": "tunl0", "masquerade": True, "mine": 1}
    assert codec.decode_pool(POOL, text) == pool


@pytest.mark.parametrize(("text", "disabled"), [("true", True), ("false", False)])
def test_a_pool_is_disabled_in_the_word_of_other_writers(text: str, disabled: bool) -> None:
    pool = codec.decode_pool(POOL, f'{{"cidr": "10.65.0.0/16", "disabled": {text}}}')
    assert pool == Pool(POOL, disabled=disabled)
    assert json.loads(codec.encode_pool(pool)).get("disabled", False) is disabled
    assert codec.decode_pool(POOL, codec.encode_pool(pool)) == pool


def test_encapsulation_in_vxlan_is_kept_with_its_device() -> None:
    pool = Pool(POOL, vxlan=True, cross_subnet=True)
    text = codec.encode_pool(pool)
    written = {"cidr": str(POOL), "vxlan": "vxlan.calico", "cross_subnet": True}
    assert json.loads(text) == written
    assert codec.decode_pool(POOL, text) == pool


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"cidr": "10.66.0.0/16"}'),
        '{"cidr": "10.65.0.0/16", "masquerade": "yes"}',
        '{"cidr": "10.65.0.0/16", "disabled": "no"}',
        '{"cidr": "10.65.0.0/16", "ipip": "tunl0", "vxlan": "vxlan.calico"}',
    ],
)
def test_other_pools_are_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        codec.decode_pool(POOL, text)


def test_the_mesh_is_on_or_off() -> None:
    assert codec.decode_mesh_enabled(codec.encode_mesh_enabled(True))
    assert not codec.decode_mesh_enabled('{"enabled": false}')
    for text in ("{}", "true", '{"enabled": 1}'):
        with pytest.raises(InvalidValue):
            codec.decode_mesh_enabled(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
)
texts = st.text() | json_values.map(json.dumps) | st.just("[" * 100_000)
endpoint_like = st.dictionaries(st.sampled_from([*GUIDE, "profile_ids"]), json_values).map(
    lambda changes: json.dumps(GUIDE | changes)
)

# Each field right, or nearly so: these are what the short way of reading might take for right.
some_names = st.sampled_from(
    ["web", "db", "a.b-c_d", "", ".", "..", "x" * 64, "x" * 65, "a b", None]
)
ipv4_texts = st.sampled_from(["10.65.0.1", "10.65.0.01", "10.65.0.256", "10.65.1", "::1", None, ""])
ipv6_texts = st.sampled_from(["fd80::5", "FD80::5", "fd80:0::5", "::ffff:a41:1", "fd80:", None, ""])
nearly_written = st.fixed_dictionaries(
    {
        "state": st.sampled_from(["active", "inactive", "Active", None]),
        "name": st.sampled_from(["cali1", "cali12345678901", "cali123456789012", "eth0", "cali/1"]),
        "mac": st.sampled_from(["02:00:00:00:00:01", "0A:00:00:00:00:01", "02:00:00:00:00", None]),
        "profile_id": some_names,
        "ipv4_nets": st.lists(ipv4_texts.map(lambda ip: f"{ip}/32"), max_size=2),
        "ipv6_nets": st.lists(ipv6_texts.map(lambda ip: f"{ip}/128"), max_size=2),
        "ipv4_gateway": ipv4_texts,
        "ipv6_gateway": ipv6_texts,
    },
    optional={"profile_ids": st.lists(some_names, max_size=3)},
).map(json.dumps)


@given(texts | endpoint_like | nearly_written)
@example(json.dumps(GUIDE))
@example(json.dumps(GUIDE | {"profile_ids": ["web", "db", "web"]}))
@example(json.dumps(GUIDE | {"profile_id": "", "profile_ids": ["", "db"]}))
@example(json.dumps(GUIDE | {"profile_ids": ["db", "web"]}))
@example(json.dumps(GUIDE | {"profile_id": ".."}))
@example(json.dumps(GUIDE | {"name": "cali123456789012"}))
@example(json.dumps(GUIDE | {"ipv4_nets": ["10.65.0.01/32"]}))
@example(json.dumps(GUIDE | {"ipv6_nets": ["fd80:0::5/128"]}))
@example(json.dumps(GUIDE | {"ipv4_gateway": "10.65.0.256"}))
@example(json.dumps(GUIDE | {"ipv6_gateway": "fd80:"}))
@example(json.dumps(GUIDE | {"ipv6_nets": ["FD80:0::1/128"], "profile_ids": ["b", "a"]}))
@example(json.dumps(GUIDE | {"mac": "x"}))
def test_other_hosts_read_of_an_endpoint_what_its_own_does(text: str) -> None:
    try:
        expected = codec.decode_endpoint(KEY, text).membership
    except InvalidValue:
        with pytest.raises(InvalidValue):
            codec.decode_membership(text)
    else:
        assert codec.decode_membership(text) == expected


@given(texts | endpoint_like | nearly_written)
@example(json.dumps(GUIDE))
@example(json.dumps(GUIDE | {"mac": None, "ipv4_gateway": None, "ipv6_gateway": "FD80::1"}))
@example(json.dumps(GUIDE | {"profile_ids": ["db", "web"]}))
@example(json.dumps(GUIDE | {"ipv4_nets": ["10.0.0.2/32", "10.0.0.1/32"]}))
def test_people_are_shown_of_an_endpoint_what_it_is(text: str) -> None:
    try:
        expected = codec.decode_endpoint(KEY, text).shown
    except InvalidValue:
        with pytest.raises(InvalidValue):
            codec.decode_shown(KEY, text)
    else:
        assert codec.decode_shown(KEY, text) == expected


@pytest.mark.parametrize(
    "endpoint",
    [decode(), decode(profile_ids=["web", "db"]), decode(profile_id=None, ipv4_nets=[], mac=None)],
)
def test_what_we_write_is_read_the_short_way(endpoint: Endpoint, monkeypatch) -> None:
    text = codec.encode_endpoint(endpoint)
    monkeypatch.setattr(codec, "_object", None)
    assert codec.decode_membership(text) == endpoint.membership
    assert codec.decode_shown(KEY, text) == endpoint.shown


@given(texts | endpoint_like)
def test_any_text_is_decoded_or_refused(text: str) -> None:
    readers = (
        codec.decode_rules,
        codec.decode_tags,
        codec.decode_mesh_enabled,
        lambda value: codec.decode_endpoint(KEY, value),
        lambda value: codec.decode_pool(POOL, value),
    )
    for read in readers:
        try:
            read(text)
        except InvalidValue:
            continue
