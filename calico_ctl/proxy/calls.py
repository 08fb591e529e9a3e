"""Which of the Docker Engine's calls a request is.

Routed exactly as the engine does it: on the decoded path, with an optional version before it; the
method has to match to the letter; a name may hold slashes; a path that is not clean is answered
with a redirect, so it is no call. Where the two could differ, a call that the engine would route is
never missed here: what the engine then refuses comes back as its refusal.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto


class Kind(Enum):
    """The calls that we look at.

    JOIN has a container join a network; ATTACH may become a raw stream without asking.
    """

    CREATE = auto()
    START = auto()
    RESTART = auto()
    REMOVE = auto()
    INSPECT = auto()
    LIST = auto()
    JOIN = auto()
    ATTACH = auto()
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class Call:
    """A call, the name in it as the engine reads it (may be empty), and the API version."""

    kind: Kind
    name: str = ""
    version: tuple[int, ...] | None = None


# In the order of the engine's table: the checkpoints would be containers' names otherwise.
_ROUTES: tuple[tuple[str, re.Pattern[bytes], Kind], ...] = (
    ("POST", re.compile(rb"/containers/create"), Kind.CREATE),
    ("POST", re.compile(rb"/containers/(?P<name>.+)/start"), Kind.START),
    ("POST", re.compile(rb"/containers/(?P<name>.+)/restart"), Kind.RESTART),
    ("POST", re.compile(rb"/containers/(?P<name>.+)/attach"), Kind.ATTACH),
    ("POST", re.compile(rb"/networks/(?P<name>.+)/connect"), Kind.JOIN),
    ("POST", re.compile(rb"/exec/(?P<name>.+)/start"), Kind.ATTACH),
    ("DELETE", re.compile(rb"/containers/[^/]+/checkpoints/[^/]+"), Kind.OTHER),
    ("DELETE", re.compile(rb"/containers/(?P<name>.+)"), Kind.REMOVE),
    ("GET", re.compile(rb"/containers/json"), Kind.LIST),
    ("GET", re.compile(rb"/containers/(?P<name>.+)/json"), Kind.INSPECT),
)
_VERSION = re.compile(rb"/v(?P<version>[0-9.]+)(?=/)")
_SCHEME = re.compile(rb"[a-zA-Z][a-zA-Z0-9+.-]*:(?=/)")
_ESCAPE = re.compile(rb"%(?:(?P<digits>[0-9a-fA-F]{2})|)")
_UNCLEAN = re.compile(rb"//|/\.{1,2}(?:/|\Z)")
_LONGEST_NUMBER = 9


def classify(method: str, target: bytes) -> Call:
    """Return which call a request line asks for; `target` is as it came, with its query."""
    path = decoded_path(target)
    if path is None:
        return Call(Kind.OTHER)
    versioned = _VERSION.match(path)
    if versioned and (call := _route(method, path[versioned.end() :], _numbers(versioned))):
        return call
    return _route(method, path, None) or Call(Kind.OTHER)


def decoded_path(target: bytes) -> bytes | None:
    """Return the path that the engine routes on; None if it does not route this target."""
    target = target.split(b"?", 1)[0]
    if scheme := _SCHEME.match(target):
        target = target[scheme.end() :]
        if target.startswith(b"//"):
            _, slash, rest = target[2:].partition(b"/")
            target = slash + rest
    if not target.startswith(b"/"):
        return None
    path = _unescape(target)
    return None if path is None or _UNCLEAN.search(path) else path


def _unescape(text: bytes) -> bytes | None:
    if b"%" not in text:
        return text
    if any(found["digits"] is None for found in _ESCAPE.finditer(text)):
        return None
    return _ESCAPE.sub(lambda found: bytes((int(found["digits"], 16),)), text)


def _route(method: str, path: bytes, version: tuple[int, ...] | None) -> Call | None:
    for wanted, pattern, kind in _ROUTES:
        if method == wanted and (found := pattern.fullmatch(path)):
            name = found.groupdict().get("name") or b""
            return Call(kind, name.decode(errors="replace"), version)
    return None


def _numbers(versioned: re.Match[bytes]) -> tuple[int, ...] | None:
    """Read `1.44`; the engine itself refuses what cannot be read, so that has no version here."""
    words = versioned["version"].split(b".")
    if not all(0 < len(word) <= _LONGEST_NUMBER for word in words):
        return None
    return tuple(int(word) for word in words)
