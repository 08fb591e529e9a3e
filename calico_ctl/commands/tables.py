"""How values look in tables: shared by the commands that show the same things."""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from calico_ctl.commands import output
from calico_ctl.commands.output import Form, Listing
from calico_ctl.console import Console
from calico_ctl.datastore.entries import Problem
from calico_ctl.model.endpoint import Endpoint, ShownEndpoint

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


_SOME = 10
"""So many of a longer list are named in a message."""

Key = tuple[tuple[int, int, str], ...]


@lru_cache(maxsize=1024)
def natural(text: str) -> Key:
    """Return a sort key under which `host10` comes after `host2` and 10.0.0.0 after 2.0.0.0."""
    parts = re.split(r"([0-9]+)", text)
    # Every second part is a number.
    return tuple([(1, int(part), "") if at % 2 else (0, 0, part) for at, part in enumerate(parts)])


def endpoint_order(endpoint: Endpoint | ShownEndpoint) -> tuple[Key, tuple[str, ...]]:
    """Return the sort key of endpoints wherever they are shown."""
    return natural(endpoint.key.host), endpoint.key


def show_endpoints(console: Console, form: Form, endpoints: Iterable[ShownEndpoint]) -> None:
    """Print endpoints: a table with a row for each, or one of the other forms."""
    ordered = sorted(endpoints, key=endpoint_order)
    items = [endpoint_item(each) for each in ordered] if form in {Form.JSON, Form.YAML} else ()
    listing = Listing("endpoint", items, [each.key.id for each in ordered])
    output.show(
        console, form, listing, lambda: console.table(_DETAILED, [_row(each) for each in ordered])
    )


def endpoint_reference(endpoint: Endpoint) -> dict[str, object]:
    """Return as data, for something that has to do with an endpoint, which one it is."""
    return _identity(endpoint, "endpoint")


def identified(endpoint: Endpoint | ShownEndpoint) -> dict[str, object]:
    """Return the beginning of an item that is about an endpoint itself."""
    return _identity(endpoint, "id")


def endpoint_item(endpoint: ShownEndpoint) -> dict[str, object]:
    """Return an endpoint as data. `interface` is the host's side."""
    return identified(endpoint) | {
        "interface": endpoint.name,
        "mac": endpoint.mac,
        "profiles": list(endpoint.profiles),
        "addresses": list(endpoint.addresses),
        "ipv4_gateway": endpoint.ipv4_gateway,
        "ipv6_gateway": endpoint.ipv6_gateway,
    }


def some(names: Sequence[str]) -> str:
    """Return names for a message, and how many there are beside them if they are many."""
    more = len(names) - _SOME
    listed = [*names[:_SOME], f"and {more} more"] if more > 0 else names
    return ", ".join(listed)


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


def _identity(endpoint: Endpoint | ShownEndpoint, name: str) -> dict[str, object]:
    """Return which endpoint it is and whether it is active; its id gets that name."""
    key = endpoint.key
    return {
        "hostname": key.host,
        "orchestrator": key.orchestrator,
        "workload": key.workload,
        name: key.id,
        "state": endpoint.state.value,
    }


def _row(endpoint: ShownEndpoint) -> tuple[str, ...]:
    key = endpoint.key
    addresses = "\n".join(endpoint.addresses)
    profiles = ",".join(endpoint.profiles)
    mac = endpoint.mac or ""
    state = endpoint.state.value
    return (key.host, key.orchestrator, key.workload, key.id, addresses, mac, profiles, state)
