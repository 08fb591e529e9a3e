"""Operations print as lines of nft."""

import pytest

from calico_ctl.policy import operations
from calico_ctl.policy.operations import (
    AddChain,
    AddElements,
    AddMap,
    AddRule,
    AddSet,
    AddTable,
    AddVerdicts,
    Delete,
    DeleteElements,
    DeleteTable,
    DeleteVerdicts,
    Flush,
    Operation,
)
from calico_ctl.policy.ruleset import Set

ADDRESSES = Set("ipv4_addr")
PAIRS = [('"cali2"', "goto x"), ('"cali1"', "goto y")]


@pytest.mark.parametrize(
    ("operation", "line"),
    [
        (AddTable(), "add table inet calico"),
        (DeleteTable(), "delete table inet calico"),
        (AddSet("s", ADDRESSES), "add set inet calico s { type ipv4_addr; }"),
        (
            AddSet("s", Set("ifname", interval=True, counted=True)),
            "add set inet calico s { type ifname; flags interval; counter; }",
        ),
        (AddMap("m"), "add map inet calico m { type ifname : verdict; }"),
        (AddChain("c"), "add chain inet calico c"),
        (
            AddChain("c", "filter hook input priority filter"),
            "add chain inet calico c { type filter hook input priority filter; policy accept; }",
        ),
        (AddRule("c", "drop"), "add rule inet calico c drop"),
        (
            AddElements("s", ADDRESSES, ["10.0.0.2", "10.0.0.1"]),
            "add element inet calico s { 10.0.0.1, 10.0.0.2 }",
        ),
        (
            DeleteElements("s", ADDRESSES, ["10.0.0.1"]),
            "delete element inet calico s { 10.0.0.1 }",
        ),
        (
            AddVerdicts("m", PAIRS),
            'add element inet calico m { "cali1" : goto y, "cali2" : goto x }',
        ),
        (
            DeleteVerdicts("m", PAIRS[:1]),
            'delete element inet calico m { "cali2" : goto x }',
        ),
        (Flush("set", "s"), "flush set inet calico s"),
        (Delete("chain", "c"), "delete chain inet calico c"),
    ],
)
def test_an_operation_is_a_line(operation: Operation, line: str) -> None:
    assert str(operation) == line


def test_a_script_is_a_line_for_each() -> None:
    written = operations.script([[AddTable()], [Flush("map", "m")]])
    assert written == "add table inet calico\nflush map inet calico m\n"
