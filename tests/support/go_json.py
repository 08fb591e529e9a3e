"""What dockerd reads in a create request: a model of Go's decoding of its own, for comparisons.

It knows a few fields of each struct; a request that it refuses is None. Its only likeness with the
product is that both are about the same thing: objects are read as lists of pairs by Python's json,
and each field is a function of what it held and what comes.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Field = Callable[[Any, Any], Any]
Struct = dict[str, Field]


class Refused(Exception):
    """Go reports a value of another kind."""


class Pairs(list[tuple[str, Any]]):
    """An object with its members in order."""


@dataclass
class Slice:
    """A slice: the memory behind it may hold more than it shows."""

    memory: list[str] = field(default_factory=list)
    length: int = 0

    def shown(self) -> list[str]:
        return self.memory[: self.length]


def _text(held: Any, value: Any) -> Any:
    if value is not None and not isinstance(value, str):
        raise Refused
    return held if value is None else value


def _boolean(held: Any, value: Any) -> Any:
    if value is not None and not isinstance(value, bool):
        raise Refused
    return held if value is None else value


def _integer(held: Any, value: Any) -> Any:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise Refused
    return held if value is None else value


def _slice(held: Any, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, Pairs) or not isinstance(value, list):
        raise Refused
    if held is None or not value:
        held = Slice()
    for index, each in enumerate(value):
        if index == len(held.memory):
            held.memory.append("")
        held.memory[index] = _text(held.memory[index], each)
    held.length = len(value)
    return held


def _map(held: Any, value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, Pairs):
        raise Refused
    return {**(held or {}), **dict(value)}


def _texts(held: Any, value: Any) -> Any:
    found = _map(held, value)
    return found and {key: _text("", each) for key, each in found.items()}


def _anything(_held: Any, value: Any) -> Any:
    """A type of Docker's own that reads itself, from texts and lists."""
    return value


def _pointer(struct: Struct) -> Field:
    def read(held: Any, value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, Pairs):
            raise Refused
        held = {} if held is None else held
        for key, each in value:
            name = next((name for name in struct if _folded(name) == _folded(key)), None)
            if name is not None:
                held[name] = struct[name](held.get(name), each)
        return held

    return read


def _folded(name: str) -> str:
    """Fold one character to one, as Unicode's simple case folding does."""
    return "".join(c.casefold() if len(c.casefold()) == 1 else c for c in name)


CONFIG: Struct = {
    "Image": _text,
    "Env": _slice,
    "Cmd": _anything,
    "Labels": _texts,
    "MacAddress": _text,
    "NetworkDisabled": _boolean,
}
HOST_CONFIG: Struct = {
    "NetworkMode": _text,
    "Links": _slice,
    "PortBindings": _map,
    "PublishAllPorts": _boolean,
    "Binds": _slice,
    "DnsSearch": _slice,
    "Memory": _integer,
}
NETWORKING_CONFIG: Struct = {"EndpointsConfig": _map}
_INNER: Struct = {
    "HostConfig": _pointer(HOST_CONFIG),
    "NetworkingConfig": _pointer(NETWORKING_CONFIG),
}


@dataclass(frozen=True)
class Create:
    """A create request as dockerd understands it; slices are lists."""

    config: dict[str, Any]
    host: dict[str, Any]
    networking: dict[str, Any]
    has_host: bool = field(compare=False)
    """Whether there is a HostConfig; without one, new engines take their defaults."""


def create(body: bytes, *, old: bool) -> Create | None:
    """Return what an engine reads; `old` ones look for the host's fields at the top as well."""
    try:
        found = json.JSONDecoder(object_pairs_hook=Pairs).raw_decode(body.decode().lstrip())[0]
        top = CONFIG | _INNER | (HOST_CONFIG if old else {})
        read = _pointer(top)(None, found)
    except (ValueError, Refused):
        return None
    if read is None:
        return None
    outer = {name: value for name, value in read.items() if name in HOST_CONFIG}
    host = read.get("HostConfig")
    if host is None:
        host = outer
    elif outer.get("Memory") and not host.get("Memory"):
        host = {**host, "Memory": outer["Memory"]}
    return Create(
        _plain({name: value for name, value in read.items() if name in CONFIG}),
        _plain(host),
        _plain(read.get("NetworkingConfig") or {}),
        read.get("HostConfig") is not None,
    )


def _plain(struct: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that say something."""
    shown = {
        name: value.shown() if isinstance(value, Slice) else value for name, value in struct.items()
    }
    return {name: value for name, value in shown.items() if value}
