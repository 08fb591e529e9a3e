from hypothesis import given, settings
from hypothesis import strategies as st

from calico_ctl.commands import tables


def test_numbers_inside_names_are_compared_as_numbers() -> None:
    names = ["host10", "host2", "a", "host2b", "10.0.0.0/8", "9.0.0.0/8"]
    assert sorted(names, key=tables.natural) == [
        "9.0.0.0/8",
        "10.0.0.0/8",
        "a",
        "host2",
        "host2b",
        "host10",
    ]


def test_numbers_of_a_column_have_their_last_digits_in_line() -> None:
    rows: list[tuple[int | str, ...]] = [("a", 7, 1), ("b", 10, "-")]
    assert tables.numbers_right(("Name", "N", "Bytes"), rows) == [
        ["a", " 7", "    1"],
        ["b", "10", "-"],
    ]
    assert tables.numbers_right(("Name", "N"), []) == []


def test_of_many_names_some_are_said_and_the_rest_is_counted() -> None:
    names = [f"e{number}" for number in range(12)]
    assert tables.some(names[:10]) == ", ".join(names[:10])
    assert tables.some(names) == f"{', '.join(names[:10])}, and 2 more"
    assert tables.some([]) == ""


def test_digits_of_other_scripts_are_letters() -> None:
    assert sorted(["a²", "²", "a1"], key=tables.natural) == ["a1", "a²", "²"]


@given(st.lists(st.text(max_size=20), max_size=5))
@settings(max_examples=30, deadline=None)
def test_any_names_can_be_put_in_order(names) -> None:
    forward, backward = (
        [tables.natural(name) for name in sorted(order, key=tables.natural)]
        for order in (names, names[::-1])
    )
    assert forward == backward
