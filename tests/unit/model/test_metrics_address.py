"""Where metrics are offered: as text, and in the environment."""

import pytest

from calico_ctl.errors import InvalidValue
from calico_ctl.model import metrics_address
from calico_ctl.model.metrics_address import DEFAULT, MetricsRequest


@pytest.mark.parametrize("text", ["127.0.0.1:9091", "[fd80::1]:1", "0.0.0.0:65535", "off"])
def test_a_place_survives_the_environment(text: str) -> None:
    there = metrics_address.parse(text, "it")
    variables = metrics_address.to_environment(there)
    assert variables == {"CALICO_METRICS": text}
    assert metrics_address.from_environment(variables) == there


def test_without_a_word_it_is_this_host_alone_that_reaches_them() -> None:
    assert metrics_address.from_environment({}) == DEFAULT
    assert str(DEFAULT) == "127.0.0.1:9091"


@pytest.mark.parametrize("text", ["", "9091", "localhost:9091", "127.0.0.1:0", "127.0.0.1:65536"])
def test_anything_else_is_named_with_what_is_expected(text: str) -> None:
    with pytest.raises(InvalidValue, match=f"invalid it '{text}'.*127.0.0.1:9091.* or off"):
        metrics_address.parse(text, "it")


def test_what_is_not_said_stays_as_before() -> None:
    other = metrics_address.parse("10.0.0.1:9100", "it")
    assert MetricsRequest().decide(other) == other
    assert MetricsRequest().decide(None) is None
    assert MetricsRequest(other).decide(None) == other
    assert MetricsRequest(off=True).decide(other) is None
