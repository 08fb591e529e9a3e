"""Forms and options of commands that no test runs as a process of its own: what runs them instead.

Most take root, Docker and a node, and are run by the system tests.
"""

import re
from collections.abc import Sequence

from tests.support.paths import CHECKOUT

TESTS = CHECKOUT / "tests"
FILES = {
    "node": (
        "test_node.py",
        "test_node_docker_proxy.py",
        "test_cluster_nodes.py",
        "test_binary.py",
    ),
    "container": ("test_containers.py", "test_life_of_a_container.py", "test_policy.py"),
    "status": ("test_status.py",),
    "checksystem": ("test_checksystem.py",),
    "diags": ("test_diags.py",),
    "drops": ("finding_faults/test_drops.py",),
    "endpoint --counters": ("test_status.py",),
    "profile --counters": ("test_status.py",),
}
"""The files in tests/system that run a command, or an option of it."""

OPTIONS = {
    "diags --wait": ("integration/commands/test_diags.py", "diags --ip=127.0.0.1 --wait"),
    "drops --output": ("support/drop_watch.py", "drops --follow --output=json"),
    "node --docker-proxy-ca": ("system/test_node_docker_proxy.py", '"ca": "ca.pem"'),
    "node --node-image": ("system/test_node.py", "--node-image="),
    "checksystem --fix": ("integration/commands/test_checksystem.py", "checksystem --fix"),
    "checksystem --libnetwork": ("unit/commands/test_checksystem.py", "--libnetwork"),
}
"""Options that are tried in another way, or end with another code than 0: where, and by which text.

What --fix finds, and whether it helps, is the machine's affair. --libnetwork is refused until there
is such a plugin. Who waits for diags to be downloaded has it downloaded meanwhile.
"""


def has(words: Sequence[str], option: str = "") -> bool:
    """Say whether a file of a command has a line with all of some words, in order.

    The first is the command; `option` has to be in that file too.
    """
    if not words:
        return False
    pattern = r"\b.*\b".join(re.escape(word) for word in words)
    names = FILES.get(words[0]) or FILES.get(f"{words[0]} {option}", ())
    files = [TESTS / "system" / name for name in names]
    texts = [file.read_text() for file in files if file.exists()]
    return any(re.search(rf"\b{pattern}\b", text) and option in text for text in texts)


def tries(name: str, option: str) -> bool:
    """Say whether an option of a command is tried in another way."""
    file, text = OPTIONS.get(f"{name} {option}", ("", ""))
    return bool(file) and text in (TESTS / file).read_text()
