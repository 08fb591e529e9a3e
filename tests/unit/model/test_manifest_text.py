import pytest

from calico_ctl.errors import InvalidValue
from calico_ctl.model import manifest_text


def test_the_name_says_how_a_file_is_read() -> None:
    assert manifest_text.documents('{"a": 1}{"b": 2}\n', "x.json") == [{"a": 1}, {"b": 2}]
    assert manifest_text.documents('{"a": 1e3}', "x.YAML") == [{"a": "1e3"}]
    assert manifest_text.documents('\ufeff{"a": 1}', "x.json") == [{"a": 1}]
    assert manifest_text.documents("a: 1\n---\nb: 2", "x.yml") == [{"a": 1}, {"b": 2}]
    with pytest.raises(InvalidValue, match="invalid JSON on line 1, 'a: 1'"):
        manifest_text.documents("a: 1", "x.json")


@pytest.mark.parametrize("name", ["stdin", "/dev/fd/63", "json"])
def test_without_such_a_name_the_beginning_says_it(name) -> None:
    assert manifest_text.documents(' \n{ "a": 1e3}', name) == [{"a": 1000.0}]
    assert manifest_text.documents("{a: 1e3}", name) == [{"a": "1e3"}]
    assert manifest_text.documents("\ufeffa: 1", name) == [{"a": 1}]
    assert manifest_text.documents("", name) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1,\n "b": }', "invalid JSON on line 2, ' \"b\": }': expected well-formed JSON"),
        ('{"a": NaN}', "expected JSON without NaN"),
        ('{"a": -Infinity}', "expected JSON without -Infinity"),
        ('{"b": {"a": 1, "a": 2}}', "expected JSON without the key 'a' twice in one object"),
        ('{"a": ' + "[" * 100_000, "invalid JSON"),
        ('{"a": ' + "9" * 5000 + "}", "invalid JSON"),
        ('{"a": 1} x', "invalid JSON on line 1,"),
    ],
)
def test_json_that_means_nothing_certain_is_refused(text, message) -> None:
    with pytest.raises(InvalidValue) as caught:
        manifest_text.documents(text, "stdin")
    assert message in caught.value.message


def test_documents_are_written_with_a_line_between() -> None:
    assert manifest_text.in_yaml([{"a": 1}, {"b": []}]) == "a: 1\n---\nb: []\n"
    assert manifest_text.in_yaml([]) == ""
