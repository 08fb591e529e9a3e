"""Forms and options of commands that no longer story needs, each once."""

import json

import pytest


@pytest.mark.parametrize(
    ("option", "field"),
    [
        ("--ipip", "ipip"),
        ("--vxlan", "vxlan"),
        ("--nat-outgoing", "nat_outgoing"),
        ("--vxlan --cross-subnet", "cross_subnet"),
    ],
)
def test_a_range_of_pools_takes_the_options_of_a_pool(shell, option, field) -> None:
    shell.done(f"pool range add 10.65.0.0 10.65.1.255 {option}")
    (pool,) = json.loads(shell.done("pool show --output=json"))["items"]
    assert (pool["cidr"], pool[field]) == ("10.65.0.0/23", True)


def test_an_outbound_rule_is_removed_by_its_words_and_by_its_place(shell) -> None:
    shell.done("profile add web")
    shell.done("profile web rule add outbound deny tcp")
    shell.done("profile web rule remove outbound deny tcp")
    shell.done("profile web rule remove outbound --at=1")
    assert "outbound" not in shell.done("profile web rule show --output=json")


def test_all_forms_of_output_are_taken_where_there_is_little_to_show(shell) -> None:
    assert json.loads(shell.done("ipam check --output=json"))["items"] == []
    shell.done("profile add web")
    for line in ("export --output=json", "export all --output=json"):
        (item,) = json.loads(shell.done(line))["items"]
        assert (item["kind"], item["name"]) == ("profile", "web")
