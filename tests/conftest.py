"""For every test: the folder a test is in says what it needs."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their folder, and give those with real engines the time they need."""
    for item in items:
        folder = item.path.relative_to(HERE).parts[0]
        if folder in {"integration", "system"}:
            item.add_marker(getattr(pytest.mark, folder))
        if folder == "system" and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(900))
