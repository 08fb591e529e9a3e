import pytest

from calico_ctl import table_text


def test_a_table_is_as_wide_as_its_widest_cells() -> None:
    assert table_text.write(["Name", "IP"], [["web", "10.0.0.1"], ["a name", ""]]) == (
        "+--------+----------+\n"
        "| Name   | IP       |\n"
        "+--------+----------+\n"
        "| web    | 10.0.0.1 |\n"
        "| a name |          |\n"
        "+--------+----------+"
    )


def test_cells_and_headings_may_have_several_lines() -> None:
    assert table_text.write(["One", "Two\nlines"], [["1", "a\nb"], ["x\ny\nz", "c"]]) == (
        "+-----+-------+\n"
        "| One | Two   |\n"
        "|     | lines |\n"
        "+-----+-------+\n"
        "| 1   | a     |\n"
        "|     | b     |\n"
        "| x   | c     |\n"
        "| y   |       |\n"
        "| z   |       |\n"
        "+-----+-------+"
    )


def test_without_rows_the_headings_stand_alone() -> None:
    expected = "+------+\n| Name |\n+------+"
    assert table_text.write(["Name"], []) == expected
    assert table_text.write(["Name"], iter(())) == expected


def test_wide_letters_take_two_columns_and_accents_none() -> None:
    assert table_text.write(["Name"], [["日本"], ["e\u0301e"], ["ab"]]) == (
        "+------+\n| Name |\n+------+\n| 日本 |\n| e\u0301e   |\n| ab   |\n+------+"
    )


@pytest.mark.parametrize("cell", ["{0}", "%s", "50 %", "é %"])
def test_what_formats_use_are_letters_like_others(cell) -> None:
    assert f"\n| {cell} |\n" in table_text.write([cell], [[cell]])
