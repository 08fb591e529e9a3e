"""What the table asks of a packet is of nft's language, but for four words of its own."""

import pytest

from calico_ctl.dataplane import watch_table


@pytest.mark.parametrize("chain", watch_table._CHAINS)
def test_every_rule_can_be_written(chain):
    _, _, rules = watch_table._CHAINS[chain]
    assert all(list(watch_table._expressions(rule)) for rule in rules)
    assert any("TRACE" in rule and "LIMIT" in rule for rule in rules)
