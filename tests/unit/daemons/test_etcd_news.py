"""What a process takes from the news of etcd by itself: its log level, and that there are any."""

import logging
from collections.abc import Iterator

import pytest

from calico_ctl.daemons.etcd_news import LEVELS, EtcdNews
from calico_ctl.daemons.meters import Meters
from calico_ctl.datastore.follow import Change, Changes, Disconnected, Resync
from calico_ctl.model import log_level, metric

HERE, EVERYWHERE = "/calico/host/h1/config/LogSeverityScreen", "/calico/config/LogSeverityScreen"


@pytest.fixture(autouse=True)
def root() -> Iterator[logging.Logger]:
    """The logger of all, as it was before."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.INFO)
    yield root
    root.setLevel(before)


@pytest.fixture
def meters() -> Meters:
    meters = Meters("felix")
    meters.say("")
    return meters


@pytest.fixture
def news(meters: Meters) -> EtcdNews:
    return EtcdNews("h1", meters)


def change(key: str, value: str | None) -> Changes:
    return Changes((Change("/calico/other", "x", 7), Change(key, value, 8)))


@pytest.mark.parametrize("word", LEVELS)
def test_it_logs_from_the_level_on_that_is_said(news, root, word) -> None:
    news.hear(Resync({EVERYWHERE: (word, 1)}, 1))
    assert root.level == LEVELS[word]
    assert root.isEnabledFor(logging.CRITICAL) == (word != "none")


def test_it_knows_the_words_that_status_takes_for_good() -> None:
    assert tuple(LEVELS) == log_level.WORDS


def test_a_change_holds_at_once_and_a_removal_gives_the_default_back(news, root) -> None:
    news.hear(Resync({}, 1))
    assert root.level == logging.INFO
    news.hear(change(EVERYWHERE, "debug"))
    assert root.level == logging.DEBUG
    news.hear(change(EVERYWHERE, None))
    assert root.level == logging.INFO


def test_a_change_is_told_whichever_way_it_goes(news, caplog) -> None:
    for word in ("warning", "info", "debug", "info"):
        news.hear(change(EVERYWHERE, word))
    told = ["warning", "info", "debug", "info"]
    assert caplog.messages == [f"logging from {word} on" for word in told]


def test_the_hosts_own_goes_before_that_of_all_hosts(news, root) -> None:
    news.hear(Resync({EVERYWHERE: ("error", 1), HERE: ("debug", 1)}, 1))
    assert root.level == logging.DEBUG
    news.hear(change(HERE, None))
    assert root.level == logging.ERROR
    news.hear(change("/calico/host/h2/config/LogSeverityScreen", "debug"))
    assert root.level == logging.ERROR


@pytest.mark.parametrize("word", ["DEBUG", " debug\n"])
def test_historical_spellings_are_understood(news, root, word) -> None:
    news.hear(change(EVERYWHERE, word))
    assert root.level == logging.DEBUG


def test_a_word_that_is_none_is_warned_of_and_holds_nothing_back(news, root, caplog) -> None:
    news.hear(change(EVERYWHERE, "critical"))
    news.hear(change(EVERYWHERE, "loud"))
    assert root.level == logging.INFO
    assert f"{EVERYWHERE} is 'loud': expected one of none, debug," in caplog.text


def test_etcds_absence_is_measured_and_is_trouble(news, meters) -> None:
    def seen() -> tuple[object, str | None]:
        found = meters.measured()
        values = {each.metric: each.value for each in found.samples}
        return values[metric.CONNECTED], found.trouble

    assert seen() == (0, "")
    news.hear(Resync({}, 1))
    assert seen() == (1, "")
    news.hear(Disconnected("no route"))
    assert seen() == (0, "etcd is away, the last state stays: no route")
    news.hear(Resync({}, 1))
    assert seen() == (1, "")
