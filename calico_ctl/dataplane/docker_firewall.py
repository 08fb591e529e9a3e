"""The accept rules that Docker's own filter makes necessary.

An accept in our nftables chain is final only there: Docker's FORWARD chain, whose policy is DROP,
still sees the packet. Our table marks what it accepted, and two rules at the head of DOCKER-USER
let that pass. They ask for the mark too, so that without our table nothing gets through.
Where Docker made no DOCKER-USER chain but something set FORWARD to DROP, they go to FORWARD.
"""

from collections.abc import Sequence

from calico_ctl.errors import CommandFailed
from calico_ctl.host import command, files
from calico_ctl.model.names import INTERFACE_PREFIX
from calico_ctl.policy.compile import ACCEPTED

COMMENT = "calico-accepted"
"""By this comment our rules are recognised."""

NFT_TABLES = frozenset({"ip filter", "ip6 filter"})
"""Where iptables-nft keeps the chains that our rules go to."""

_NFT_TOOLS = ("iptables-nft", "ip6tables-nft")
_LEGACY_TOOLS = (
    ("iptables-legacy", "/proc/net/ip_tables_names"),
    ("ip6tables-legacy", "/proc/net/ip6_tables_names"),
)


def ensure() -> int:
    """Put our rules first wherever they are needed; return how many chains had to be mended."""
    mended = 0
    for tool in _tools():
        chain = _chain(tool)
        if chain is None or _in_place(_listed(tool, chain)):
            continue
        _delete_ours(tool, chain)
        for rule in reversed(rules()):
            command.run([tool, "-w", "-I", chain, *rule])
        mended += 1
    return mended


def remove() -> None:
    """Remove every rule of ours."""
    for tool in _tools():
        for chain in ("DOCKER-USER", "FORWARD"):
            _delete_ours(tool, chain)


def rules() -> list[list[str]]:
    """Return the rules as words for iptables, in order."""
    return [
        f"{side} {INTERFACE_PREFIX}+ -m mark --mark {ACCEPTED}/{ACCEPTED}"
        f" -m comment --comment {COMMENT} -j ACCEPT".split()
        for side in ("-i", "-o")
    ]


def uses_legacy() -> bool:
    """Say whether rules of iptables-legacy are in use here, of whose changes nobody is told."""
    return bool(_legacy_tools())


def _tools() -> list[str]:
    """Name the tools of the backends in use; asking the legacy ones would load their modules."""
    return [*_NFT_TOOLS, *_legacy_tools()]


def _legacy_tools() -> list[str]:
    return [tool for tool, tables in _LEGACY_TOOLS if "filter" in (files.read(tables) or "")]


def _chain(tool: str) -> str | None:
    if _listed(tool, "DOCKER-USER"):
        return "DOCKER-USER"
    policy = _listed(tool, "FORWARD")[:1]
    return "FORWARD" if policy == ["-P FORWARD DROP"] else None


def _in_place(listed: Sequence[str]) -> bool:
    head = [line for line in listed if line.startswith("-A")][:2]
    return len(head) == 2 and all(COMMENT in line for line in head)


def _listed(tool: str, chain: str) -> list[str]:
    try:
        return command.run([tool, "-w", "-S", chain]).splitlines()
    except CommandFailed:
        # No such chain, or no such tool: nothing of ours can be there.
        return []


def _delete_ours(tool: str, chain: str) -> None:
    for line in _listed(tool, chain):
        if COMMENT in line and line.startswith("-A"):
            command.run([tool, "-w", "-D", *line.split()[1:]])
