import pytest
from netaddr import IPAddress

from calico_ctl.errors import InvalidValue
from calico_ctl.model.node import Node, parse_as_number


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", 1), ("64511", 64511), ("4294967295", 2**32 - 1), ("1.10", 65546), ("0.1", 1)],
)
def test_as_numbers_are_read_plain_and_dotted(text: str, number: int) -> None:
    assert parse_as_number(text) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "0.0",
        "-1",
        "4294967296",
        "65536.0",
        "1.65536",
        "65535.",
        ".1",
        "1.2.3",
        "x",
        "01",
        "1 ",
        "9" * 100,
        "\uff11",
    ],
)
def test_other_text_is_no_as_number(text: str) -> None:
    with pytest.raises(InvalidValue, match="invalid AS number"):
        parse_as_number(text)


def test_a_node_has_an_address_per_family() -> None:
    node = Node("h1", IPAddress("10.0.0.1"))
    assert node.address(4) == IPAddress("10.0.0.1")
    assert node.address(6) is None
