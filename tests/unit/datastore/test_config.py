import pytest

from calico_ctl.datastore import config
from calico_ctl.errors import NotFound
from tests.support.memory_store import MemoryStore


def test_a_setting_holds_for_all_hosts_or_for_one() -> None:
    store = MemoryStore()
    assert config.set(store, "LogSeverityScreen", "debug")
    assert not config.set(store, "LogSeverityScreen", "debug")
    assert config.set(store, "LogSeverityScreen", "none", host="h1")
    assert config.get(store, "LogSeverityScreen") == "debug"
    assert config.get(store, "LogSeverityScreen", host="h1") == "none"
    assert config.get(store, "Other") is None
    assert config.all(store) == {"LogSeverityScreen": "debug"}
    assert config.all(store, host="h1") == {"LogSeverityScreen": "none"}


def test_an_empty_value_is_a_value() -> None:
    store = MemoryStore()
    config.set(store, "A", "")
    assert config.get(store, "A") == ""


def test_removing_what_is_not_set_says_where() -> None:
    store = MemoryStore()
    config.set(store, "A", "1")
    config.remove(store, "A")
    with pytest.raises(NotFound, match="A is not set for all hosts"):
        config.remove(store, "A")
    with pytest.raises(NotFound, match="A is not set for host h1"):
        config.remove(store, "A", host="h1")
