from string import ascii_letters, digits

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calico_ctl.errors import InvalidValue
from calico_ctl.model import yaml_text

BOTH_PARSERS = pytest.mark.parametrize("loader", [yaml.SafeLoader, yaml.CSafeLoader])


def read(text: str) -> object:
    (value,) = yaml_text.read(text)
    return value


def test_keys_keep_their_order_and_lists_stand_below_their_key() -> None:
    shared = ["web", "80:90"]
    assert yaml_text.write({"z": shared, "a": {"b": shared}}) == (
        "z:\n  - web\n  - 80:90\na:\n  b:\n    - web\n    - 80:90\n"
    )


@pytest.mark.parametrize("word", ["no", "y", "012", "1e3", "1.5", "0o17", "0x1f", "20:21", "null"])
def test_text_that_any_reader_would_take_for_something_else_is_quoted(word) -> None:
    assert yaml_text.write([word]) == f"- '{word}'\n"


def test_long_text_stays_on_one_line() -> None:
    text = "allow from tag " + "x " * 200 + "end"
    assert yaml_text.write([text]) == f"- {text}\n"


@BOTH_PARSERS
@pytest.mark.parametrize(
    "word",
    [
        "no",
        "yes",
        "on",
        "off",
        "y",
        "20:21",
        "1_000",
        "012",
        "0x1f",
        "0o17",
        "1e3",
        "1.5",
        "-0",
        "+1",
        ".nan",
        ".inf",
        "2024-01-01",
        "<<",
        "=",
        "tRUE",
        "80:90",
        "9" * 40,
    ],
)
def test_words_that_other_readers_take_for_something_else_are_text(word, loader) -> None:
    assert list(yaml_text.read(f"[{word}]", loader)) == [[word]]


@BOTH_PARSERS
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("0", 0),
        ("-12", -12),
        ("65535", 65535),
        ("'80'", "80"),
        ('"true"', "true"),
        ("!!str 80", "80"),
        ("! 80", "80"),
        ("|\n  80\n", "80\n"),
        ("!!str", ""),
        ("allow tcp", "allow tcp"),
    ],
)
def test_plain_words_with_one_meaning_only_have_it(text, value, loader) -> None:
    (read,) = yaml_text.read(f"x: {text}", loader)
    assert read == {"x": value}
    assert type(read["x"]) is type(value)


def test_keys_are_always_text() -> None:
    assert read("on: 1\n80: 2\nnull: 3\ntrue: 4") == {"on": 1, "80": 2, "null": 3, "true": 4}


def test_documents_come_one_by_one_and_empty_ones_are_none() -> None:
    text = "a: [1, {b: c}]\n---\n---\n# nothing\n---\n- []\n- {}\n...\n"
    assert list(yaml_text.read(text)) == [{"a": [1, {"b": "c"}]}, None, None, [[], {}]]
    assert list(yaml_text.read("")) == list(yaml_text.read("# only a remark\n")) == []


@BOTH_PARSERS
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb:\n  c: 1\n  c: 2", "invalid key on line 4, 'c': expected each key"),
        ("a: &x [1]\nb: *x", "invalid alias on line 2, '*x': expected things written out"),
        ("a:\n\tb: 1", "invalid YAML on line 2, '\\tb: 1': expected well-formed YAML (found"),
        ("? [a]\n: 1", "invalid key on line 1,"),
        ("a: !!int 80", "invalid tag on line 1, 'tag:yaml.org,2002:int': expected values without"),
        ("a: !!python/name:os.system x", "invalid tag on line 1,"),
        ("a: !!set {b, c}", "invalid tag on line 1,"),
        ("a: !!binary aGk=", "invalid tag on line 1,"),
        ("a: 'open", "invalid YAML on line 1,"),
        ("a: ]", "invalid YAML on line 1, 'a: ]'"),
        ("a: \x01", "expected well-formed YAML ("),
        ("a: \ud800", "invalid YAML '\\ud800': expected text in UTF-8"),
        ("[" * 40 + "]" * 40, "invalid nesting on line 1, '33 levels': expected at most 32"),
        ("- " * 50_000, "invalid nesting on line 1, '33 levels': expected at most 32"),
    ],
)
def test_what_is_refused_is_named_with_its_line(text, message, loader) -> None:
    with pytest.raises(InvalidValue) as caught:
        list(yaml_text.read(text, loader))
    assert message in caught.value.message


@BOTH_PARSERS
@pytest.mark.parametrize("opening", ["[", "{", "x: [", "- - - ? ", "{a: "])
def test_nesting_without_end_is_refused(opening, loader) -> None:
    with pytest.raises(InvalidValue):
        list(yaml_text.read(opening * 5_000, loader))


words = st.text(f"{ascii_letters}{digits}_.:-+~<=!%@#&*'\"\\{{}}[],? \tä\n", max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(values)
def test_what_is_written_is_read_back(value) -> None:
    written = yaml_text.write(value)
    for loader in (yaml.SafeLoader, yaml.CSafeLoader):
        assert list(yaml_text.read(written, loader)) == [value]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text("ab:-[]{}'\"&*!|>%#\n \t,?", max_size=30))
def test_any_text_is_values_or_an_invalid_value(text) -> None:
    try:
        found = list(yaml_text.read(text))
    except InvalidValue:
        return
    assert all(isinstance(each, str | int | list | dict | None) for each in found)
