import pytest

from calico_ctl.errors import InvalidValue
from calico_ctl.model import duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("10", 10),
        ("1.5", 1.5),
        ("500ms", 0.5),
        ("90s", 90),
        ("10m", 600),
        ("1h", 3600),
        ("7d", 604800),
    ],
)
def test_a_number_and_a_unit_are_seconds(text, seconds) -> None:
    assert duration.parse(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "s", "-1s", "+1", "1 s", "1S", "1e3", ".5s", "1.s", "nan", "\u0661s", "8d", "9" * 400],
)
def test_anything_else_is_refused(text) -> None:
    with pytest.raises(InvalidValue, match=r"invalid --wait .*: expected a time such as"):
        duration.parse(text, "--wait")


def test_who_asks_may_allow_less() -> None:
    assert duration.parse("1m", longest=60) == 60
    with pytest.raises(InvalidValue, match="at most 60s"):
        duration.parse("61s", longest=60)
