"""Commands that take root, Docker and a node: which system tests run them."""

import re
from collections.abc import Sequence

from tests.support.paths import CHECKOUT

SYSTEM = CHECKOUT / "tests/system"
FILES = {
    "node": ("test_node.py", "test_node_docker_proxy.py"),
    "container": ("test_containers.py", "test_life_of_a_container.py", "test_policy.py"),
    "status": ("test_status.py",),
    "checksystem": ("test_checksystem.py",),
    "diags": ("test_diags.py",),
    "drops": ("test_drops.py",),
    "endpoint --counters": ("test_status.py",),
    "profile --counters": ("test_status.py",),
}
"""The files in tests/system that run a command, or an option of it; others run in integration."""


def has(words: Sequence[str], option: str = "") -> bool:
    """Say whether a file of a command has a line with all of some words, in order.

    The first is the command; `option` has to be in that file too.
    """
    if not words:
        return False
    pattern = r"\b.*\b".join(re.escape(word) for word in words)
    names = FILES.get(words[0]) or FILES.get(f"{words[0]} {option}", ())
    files = [SYSTEM / name for name in names]
    texts = [file.read_text() for file in files if file.exists()]
    return any(re.search(rf"\b{pattern}\b", text) and option in text for text in texts)
