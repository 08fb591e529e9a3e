"""How values look in tables: shared by the commands that show the same things."""

import re
from collections.abc import Iterable, Sequence

from calico_ctl.console import Console
from calico_ctl.datastore.entries import Problem
from calico_ctl.model.endpoint import Endpoint

_DETAILED = (
    "Hostname",
    "Orchestrator ID",
    "Workload ID",
    "Endpoint ID",
    "Addresses",
    "MAC",
    "Profiles",
    "State",
)


def natural(text: str) -> list[tuple[int, int, str]]:
    """Return a sort key under which `host10` comes after `host2` and 10.0.0.0 after 2.0.0.0."""
    parts = re.split(r"([0-9]+)", text)
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]


def show_endpoints(console: Console, endpoints: Iterable[Endpoint]) -> None:
    """Print a table with a row for each endpoint."""
    ordered = sorted(endpoints, key=lambda each: (natural(each.key.host), each.key))
    console.table(_DETAILED, [_row(each) for each in ordered])


def numbers_right(headings: Sequence[str], rows: Sequence[Sequence[int | str]]) -> list[list[str]]:
    """Return the rows as texts, the numbers of each column with their last digits in line."""
    widths = [
        max([len(heading), *(len(str(row[at])) for row in rows)])
        for at, heading in enumerate(headings)
    ]
    return [
        [
            cell if isinstance(cell, str) else str(cell).rjust(width)
            for cell, width in zip(row, widths, strict=True)
        ]
        for row in rows
    ]


def warn(console: Console, problems: Sequence[Problem]) -> None:
    """Say what is missing in what is shown, because its value in etcd cannot be used."""
    for problem in problems:
        console.say(f"warning: {problem.key} is left out: {problem.reason}")


def _row(endpoint: Endpoint) -> tuple[str, ...]:
    key = endpoint.key
    addresses = "\n".join(str(ip) for ip in sorted(endpoint.addresses))
    profiles = ",".join(endpoint.profiles)
    mac = endpoint.mac or ""
    state = endpoint.state.value
    return (key.host, key.orchestrator, key.workload, key.id, addresses, mac, profiles, state)
