"""Who may speak to the proxy at all: names under which it may be addressed, and web pages.

A browser on this machine can be made to send requests here by any web page, and a name of that
page's owner can be made to point here. Such requests tell the name or the page in their headers.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from calico_ctl.proxy.client_side import Request

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})

_HOST = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]+)(?::[0-9]*)?")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?P<host>[^/]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Edge:
    """The names that are accepted, lower case, without port, IPv6 addresses in brackets.

    `by_any_name`: who calls is known by a certificate, and may have found this host by any name.
    """

    names: frozenset[str] = LOOPBACK_NAMES
    by_any_name: bool = False

    def refusal(self, request: Request) -> str | None:
        """Return why the request is refused, or None if it is not."""
        hosts = request.values(b"host")
        for host in hosts:
            # Empty as buildx sends it: of what a browser calls there is always a name.
            if host and not (self.by_any_name or self._knows(host)):
                return f"the request is for the host {host[:80]!r}, which is not this proxy"
        if not hosts and not request.is_http10:
            return "the request does not say which host it is for"
        for origin in request.values(b"origin"):
            found = _ORIGIN.fullmatch(origin)
            if found is None or not self._knows(found["host"]):
                return f"web pages of {origin[:80]!r} may not use this proxy"
        return None

    def _knows(self, host: str) -> bool:
        found = _HOST.fullmatch(host)
        return found is not None and found["host"].lower() in self.names


def edge_of(names: Iterable[str], *, by_any_name: bool = False) -> Edge:
    """Return an edge that accepts these names or addresses beside the loopback's."""
    return Edge(LOOPBACK_NAMES | {_bracketed(name.lower()) for name in names}, by_any_name)


def _bracketed(name: str) -> str:
    return f"[{name}]" if ":" in name and not name.startswith("[") else name
