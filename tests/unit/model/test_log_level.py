import pytest

from calico_ctl.model import log_level


@pytest.mark.parametrize("value", [*log_level.WORDS, "INFO", " debug\n"])
def test_these_are_levels(value) -> None:
    assert log_level.is_one(value)
    assert log_level.word(value) in log_level.WORDS


@pytest.mark.parametrize("value", ["", "loud", "info,debug"])
def test_these_are_none(value) -> None:
    assert not log_level.is_one(value)
