"""Several members of one name, and what is left in the field after Go has read them all."""

import pytest

from calico_ctl.proxy import json_fields, json_text
from calico_ctl.proxy.json_text import Malformed, Member


def members(text: str) -> list[Member]:
    return json_text.read_object(text)[0]


def test_objects_of_one_name_merge():
    found = json_fields.struct(members('{"H":{"a":1,"b":2},"x":0,"h":{"b":3}}'), "H")
    assert found
    assert json_text.write_object(found) == '{"a":1,"b":2,"b":3}'


def test_null_starts_an_object_anew():
    assert json_fields.struct(members('{"H":{"a":1},"H":null}'), "H") is None
    found = json_fields.struct(members('{"H":{"a":1},"H":null,"H":{}}'), "H")
    assert found == []


def test_a_field_that_is_not_there_is_nothing():
    assert json_fields.struct(members("{}"), "H") is None
    assert json_fields.keys(members("{}"), "H") == []
    assert json_fields.strings(members("{}"), "H") == []
    assert json_fields.flag(members("{}"), "H") is False


def test_maps_of_one_name_merge_until_null_empties_them():
    assert json_fields.keys(members('{"M":{"a":1},"m":{"b":null}}'), "M") == ["a", "b"]
    assert json_fields.keys(members('{"M":{"a":1},"M":null,"M":{"b":1}}'), "M") == ["b"]


def test_the_last_boolean_counts_and_null_says_nothing():
    assert json_fields.flag(members('{"F":false,"f":true,"F":null}'), "F") is True
    assert json_fields.flag(members('{"F":true,"F":false}'), "F") is False


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"L":["a"],"l":["b","c"]}', ["b", "c"]),
        ('{"L":["a","b"],"L":["c"]}', ["c"]),
        ('{"L":["a"],"L":null}', []),
        ('{"L":["a"],"L":[]}', []),
        ('{"L":["a","b"],"L":[null]}', ["a"]),
        ('{"L":["a","b","c"],"L":["d"],"L":["e",null]}', ["e", "b"]),
        ('{"L":["a","b"],"L":[],"L":[null]}', [""]),
        ('{"L":["a","b"],"L":null,"L":["c",null]}', ["c", ""]),
    ],
)
def test_the_last_list_counts_but_null_keeps_what_was_there(text, expected):
    assert json_fields.strings(members(text), "L") == expected


@pytest.mark.parametrize("value", ["1", '"a"', "true", "{}", "[1]", '["a",["b"]]', "[{}]"])
def test_a_list_of_other_things_is_refused(value):
    with pytest.raises(Malformed):
        json_fields.strings(members(f'{{"L":{value}}}'), "L")


@pytest.mark.parametrize("value", ["1", '"a"', "true", "[]"])
def test_an_object_of_another_kind_is_refused(value):
    for read in (json_fields.struct, json_fields.keys):
        with pytest.raises(Malformed):
            read(members(f'{{"L":{value}}}'), "L")


@pytest.mark.parametrize("value", ["1", '"true"', "[]", "{}"])
def test_a_boolean_of_another_kind_is_refused(value):
    with pytest.raises(Malformed):
        json_fields.flag(members(f'{{"L":{value}}}'), "L")


def test_members_of_other_fields_are_left():
    found = json_fields.without(members('{"a":1,"B":2,"b":3,"c":4}'), ["b", "C"])
    assert [each.key for each in found] == ["a"]
