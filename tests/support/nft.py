"""The program `nft`, in the network namespace of this thread: the judge of what we told the kernel.

It reads the kernel's expressions back into text, with nothing of our own code between.
"""

import json
import re
from typing import Any

from calico_ctl.policy.ruleset import TABLE
from tests.support import command


def apply(script: str) -> None:
    """Run a script as one transaction."""
    command.run(["nft", "-f", "-"], stdin=script)


def listing(what: str = f"table {TABLE}") -> str:
    """Return our table, or a part of it, as nft prints it."""
    return command.run(["nft", "list", *what.split()]).out


def contents() -> list[str]:
    """Return our table's objects in an order of ours, without counters and element order."""
    text = re.sub(r"counter packets \d+ bytes \d+", "counter", listing())
    text = re.sub(r"\{([^{}]*)\}", lambda m: "{" + ",".join(_sorted(m[1])) + "}", text)
    text = re.sub(r"\s*\n\s*", "\n", text).strip().removesuffix("}").strip()
    return sorted(each.strip() for each in re.split(r"\n(?=(?:chain|set|map) )", text))


def _sorted(elements: str) -> list[str]:
    return sorted(each.strip() for each in elements.split(","))


def list_json(what: str) -> list[dict[str, Any]]:
    """Return what `nft -j list` lists."""
    items: list[dict[str, Any]] = json.loads(command.run(["nft", "-j", "list", *what.split()]).out)[
        "nftables"
    ]
    return items
