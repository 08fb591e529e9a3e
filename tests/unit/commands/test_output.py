import json

import pytest
import yaml

from calico_ctl import usage
from calico_ctl.commands import output
from calico_ctl.commands.output import Form, Listing
from calico_ctl.console import Console
from calico_ctl.errors import InvalidValue

USAGE = """Show.

Usage:
  calicoctl show [--output=<FORM>]
"""
FOUND = Listing(
    "profile", [{"name": "web", "tags": ["a", "b"]}, {"name": "db", "tags": []}], ["web", "db"]
)


def form(*words: str) -> Form:
    return output.form(usage.parse(USAGE, ["show", *words]))


def shown(form: Form, capsys: pytest.CaptureFixture[str]) -> str:
    output.show(Console(0), form, FOUND, lambda: print("the table"))
    return capsys.readouterr().out


def test_a_table_is_what_nobody_has_to_ask_for() -> None:
    assert form() is Form.TABLE
    assert form("--output=table") is Form.TABLE


@pytest.mark.parametrize("text", ["", "JSON", "xml", "json "])
def test_a_form_that_is_not_there_is_refused_with_those_that_are(text) -> None:
    with pytest.raises(InvalidValue, match="table, json, yaml, name"):
        form(f"--output={text}")


def test_json_and_yaml_are_the_same_object_and_nothing_else(capsys) -> None:
    expected = {"schema": 1, "kind": "profile", "items": FOUND.items}
    assert json.loads(shown(Form.JSON, capsys)) == expected
    assert yaml.safe_load(shown(Form.YAML, capsys)) == expected


def test_json_has_each_item_on_a_line_of_its_own(capsys) -> None:
    assert shown(Form.JSON, capsys).splitlines() == [
        "{",
        '  "schema": 1,',
        '  "kind": "profile",',
        '  "items": [',
        '    {"name": "web", "tags": ["a", "b"]},',
        '    {"name": "db", "tags": []}',
        "  ]",
        "}",
    ]


@pytest.mark.parametrize("form", [Form.JSON, Form.YAML])
def test_nothing_is_a_list_without_items(form, capsys) -> None:
    output.show(Console(0), form, Listing("profile", [], []), lambda: None)
    nothing = {"schema": 1, "kind": "profile", "items": []}
    assert yaml.safe_load(capsys.readouterr().out) == nothing


def test_names_are_a_line_each(capsys) -> None:
    assert shown(Form.NAME, capsys) == "web\ndb\n"


def test_a_table_is_printed_by_who_knows_it(capsys) -> None:
    assert shown(Form.TABLE, capsys) == "the table\n"
