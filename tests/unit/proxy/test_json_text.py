"""JSON as text: what Go takes for a field, and what stays as it was written."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calico_ctl.errors import InvalidValue
from calico_ctl.proxy import json_text
from calico_ctl.proxy.json_text import Malformed

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
spaces = st.text(" \t\r\n", max_size=3)


@given(st.dictionaries(st.text(), values), st.booleans(), st.sampled_from([None, 1]), st.text())
def test_members_put_together_again_are_the_same_object(fields, ascii_only, indent, rest):
    text = json.dumps(fields, ensure_ascii=ascii_only, indent=indent)
    members, after = json_text.read_object(text + rest)
    assert after == rest
    assert json.loads(json_text.write_object(members)) == fields
    for each in members:
        assert each.raw in text
        assert each.raw_key in text


@given(st.lists(values), spaces)
def test_the_elements_of_an_array_are_where_they_are_said_to_be(items, space):
    text = space + json.dumps(items, indent=len(space)) + "]}x"
    found = json_text.read_array(text)
    assert [json.loads(text[each.start : each.end]) for each in found] == items


def test_texts_of_values_stay_as_they_were():
    text = r'{"a": 1E400, "b":123456789012345678901234567890 ,"\u0063" :-0.0, "d":"\u00e9\/"}'
    members, _ = json_text.read_object(text)
    assert [each.key for each in members] == ["a", "b", "c", "d"]
    assert json_text.write_object(members) == (
        r'{"a":1E400,"b":123456789012345678901234567890,"\u0063":-0.0,"d":"\u00e9\/"}'
    )


def test_an_object_is_written_with_further_members_and_what_follows_it():
    members, rest = json_text.read_object('{"a": 1E400, "\udcff":[ ]} x')
    added = {"b": b"{}", "c": b"2"}
    assert json_text.encode_object(members, added, rest) == (
        b'{"a":1E400,"\xff":[ ],"b":{},"c":2} x'
    )
    assert json_text.encode_object(members, {}, "") == b'{"a":1E400,"\xff":[ ]}'
    assert json_text.encode_object([], {}, "") == b"{}"


@pytest.mark.parametrize("value", [b"0", b"{}", b"[]", b'"x"', b'{"a":[]}'])
def test_more_values_than_anybody_needs_are_not_read(value):
    limit = json_text.VALUE_LIMIT
    each = value.count(b"{") + value.count(b"[") + 1
    body = b"[" + b",".join([value] * (limit // each)) + b"]"
    assert json_text.decode_request(body) == body.decode()
    with pytest.raises(InvalidValue, match=f"values in the request body .* at most {limit}"):
        json_text.decode_request(body + b"," * each)


def test_an_integer_of_any_length_is_read():
    members, _ = json_text.read_object('{"a":' + "9" * 10_000 + "}")
    assert members[0].raw == "9" * 10_000


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "null",
        "[]",
        '"a"',
        "{",
        '{"a"',
        '{"a":',
        '{"a":1',
        '{"a":1,',
        '{"a":1,}',
        '{,"a":1}',
        '{"a" 1}',
        "{a:1}",
        "{1:1}",
        "{null:1}",
        '{"a":NaN}',
        '{"a":-Infinity}',
        '{"a":[Infinity]}',
        '{"a":01}',
        '{"a":1.}',
        '{"a":.5}',
        '{"a":+1}',
        '{"a":TRUE}',
        '{"a":"\n"}',
        '{"a":"\x00"}',
        '{"a\t":1}',
        '{"a":"\\x41"}',
        '{"a":"\\u12"}',
        "{'a':1}",
        '{"a":1/**/}',
        '\ufeff{"a":1}',
        '\xa0{"a":1}',
        '{"a":\x0b1}',
    ],
)
def test_what_go_refuses_is_malformed(text):
    with pytest.raises(Malformed):
        json_text.read_object(text)


@pytest.mark.parametrize("text", ["", "{}", "[1", "[1,", "[,1]", "[1,]", "[1 2]", "[1}"])
def test_arrays_that_go_refuses_are_malformed(text):
    with pytest.raises(Malformed):
        json_text.read_array(text)


def test_deep_nesting_is_refused_and_not_a_crash():
    deep = "[" * 100_000 + "]" * 100_000
    for read in (json_text.read_object, json_text.read_array):
        with pytest.raises(InvalidValue, match="nested"):
            read(f'{{"a":{deep}}}' if read is json_text.read_object else deep)


@pytest.mark.parametrize("key", ["HostConfig", "hostconfig", "HOSTCONFIG", "Ho\u017ftConfig"])
def test_a_field_is_found_in_any_case(key):
    assert json_text.read_object(json.dumps({key: 1}))[0][0].is_named("HostConfig")


@pytest.mark.parametrize("key", ["lin\u212as", "LIN\u212a\u017f", r"\u006cinks"])
def test_two_letters_of_other_scripts_fold_to_ours(key):
    assert json_text.read_object(f'{{"{key}":1}}')[0][0].is_named("Links")


@pytest.mark.parametrize(
    "key",
    ["Host_Config", "HostConfig ", "HostConf\u0131g", "HostConf\u0130g", "Ho\u00dftConfig", ""],
)
def test_other_names_are_other_fields(key):
    assert not json_text.read_object(json.dumps({key: 1}))[0][0].is_named("HostConfig")


def test_letters_that_two_letters_fold_to_are_no_match():
    assert not json_text.read_object('{"cla\u00df":1}')[0][0].is_named("class")


@given(st.binary())
def test_every_body_can_be_read_and_written_again(body):
    assert json_text.encode(json_text.decode(body)) == body


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (b'{"\xff\xfe":1}', "\ufffd\ufffd"),
        (rb'{"a\ud800b":1}', "a\ufffdb"),
        (b'{"\xe2\x82":1}', "\ufffd\ufffd"),
    ],
)
def test_what_is_no_character_is_read_as_the_replacement(body, key):
    members, _ = json_text.read_object(json_text.decode(body))
    assert members[0].key == key
    assert json_text.encode(json_text.write_object(members)) == body
