"""What this machine tells of itself: kernel, network, firewall, logs."""

import os
import platform as python
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from calico_ctl import __version__
from calico_ctl.diagnostics.collector import Collector, Evidence
from calico_ctl.errors import CalicoError
from calico_ctl.host import command, evidence

MOST_OF_A_LOG = 4 << 20
"""Bytes from the end of each log; the services themselves begin a new one after one million."""

MOST_OF_LOGS = 64 << 20
"""Bytes of all logs together; the oldest are left out."""

_MOST_OF_A_FILE = 1 << 20
_SECONDS_FOR_A_PROGRAM = 15.0

_FILES = {
    "system/os-release": "/etc/os-release",
    "system/modules": "/proc/modules",
    "system/memory": "/proc/meminfo",
    "system/load": "/proc/loadavg",
    "network/conntrack-statistics": "/proc/net/stat/nf_conntrack",
    "docker/daemon.json": "/etc/docker/daemon.json",
}

_PROGRAMS = {
    "system/disks": "df --human-readable --print-type",
    "network/links": "ip -details -statistics link show",
    "network/addresses": "ip -details address show",
    "network/routes-ipv4": "ip -4 -details route show table all",
    "network/routes-ipv6": "ip -6 -details route show table all",
    "network/rules-ipv4": "ip -4 rule show",
    "network/rules-ipv6": "ip -6 rule show",
    "network/neighbours": "ip -statistics neighbour show",
    "network/proxied-neighbours": "ip neighbour show proxy",
    "network/tunnel-forwarding": "bridge fdb show",
    "network/sockets": "ss --listening --tcp --udp --numeric --processes",
    "firewall/nftables": "nft list ruleset",
    "firewall/iptables": "iptables-save --counters",
    "firewall/ip6tables": "ip6tables-save --counters",
}

_VERSIONS = ("nft --version", "ip -Version", "iptables --version", "docker --version")


def collectors(log_directory: str) -> list[Collector]:
    """Return the collectors; none of them changes anything."""
    return [
        Collector("system/date", _date),
        Collector("system/kernel", _kernel),
        Collector("system/versions", _versions),
        *(Collector(name, partial(_file, path)) for name, path in _FILES.items()),
        *(Collector(name, partial(_program, line)) for name, line in _PROGRAMS.items()),
        Collector("network/settings", partial(_settings, "net")),
        Collector("network/conntrack-counts", _conntrack_counts),
        Collector("logs", partial(_logs, Path(log_directory)), 60.0),
    ]


def _date() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds") + "\n"


def _kernel() -> str:
    return " ".join(os.uname()) + "\n"


def _versions() -> str:
    lines = [f"calicoctl {__version__}", f"Python {python.python_version()}"]
    for line in _VERSIONS:
        try:
            lines.append(command.run(line.split()).strip())
        except CalicoError as error:
            lines.append(error.message)
    return "\n".join(lines) + "\n"


def _file(path: str) -> str:
    return evidence.end_of(Path(path), _MOST_OF_A_FILE)


def _program(line: str) -> str:
    return f"# {line}\n{command.run(line.split(), timeout=_SECONDS_FOR_A_PROGRAM)}"


def _settings(prefix: str) -> str:
    return "".join(
        f"{name} = {value}\n"
        for name, value in evidence.settings(prefix)
        # Keys that the kernel makes up for itself.
        if not name.endswith(("_key", "stable_secret"))
    )


def _conntrack_counts() -> str:
    return "".join(
        f"{name}: {evidence.end_of(Path('/proc/sys/net/netfilter') / name, _MOST_OF_A_FILE)}"
        for name in ("nf_conntrack_count", "nf_conntrack_max")
    )


def _logs(directory: Path) -> Evidence:
    files: dict[str, str] = {}
    left = MOST_OF_LOGS
    for found in evidence.below(directory):
        if Path(found.name).name == "lock":
            continue
        name, size = f"logs/{found.name}", min(found.size, MOST_OF_A_LOG)
        if size > left:
            files.setdefault("logs/left-out", "")
            files["logs/left-out"] += f"{found.name}: {found.size} bytes\n"
            continue
        left -= size
        try:
            files[name] = evidence.end_of(directory / found.name, MOST_OF_A_LOG)
        except CalicoError as error:
            files[name] = f"not collected: {error.message}\n"
    return Evidence(files or {"logs": f"there are no files in {directory}\n"})
