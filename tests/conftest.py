"""For every test: the folder a test is in says what it needs."""

import gc
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

HERE = Path(__file__).parent

# A busy machine is no failure, and what passed once passes again: the examples are the same in each
# run of the same test. `--hypothesis-profile=explore` looks for others; `quick` is for `make check`
# by hand, which is run all the time: `make test` tries as many as ever.
_UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("explore", _UNHURRIED)
settings.register_profile("same", _UNHURRIED, derandomize=True)
settings.register_profile("quick", settings.get_profile("same"), max_examples=20)
settings.load_profile("same")


def pytest_configure() -> None:
    """Let tests interrupt what they start: in the background of a script that would be ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # until all tests are collected: what is made until then stays
    gc.disable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their folder, and give those with real engines the time they need."""
    for item in items:
        folder = item.path.relative_to(HERE).parts[0]
        if folder in {"integration", "system"}:
            item.add_marker(getattr(pytest.mark, folder))
        if folder == "system" and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(900))


def pytest_collection_finish() -> None:
    """Keep the garbage collector from looking at all the tests again and again: none goes away."""
    gc.collect()
    gc.freeze()
    gc.enable()
