"""Names that people choose (profiles, tags) and names that we derive (interfaces, endpoint ids)."""

import re
from functools import lru_cache

from calico_ctl.errors import InvalidValue

NAME_FORM = "1 to 64 characters of A-Z a-z 0-9 _ . - (not '.' or '..')"

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_ENDPOINT_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_INTERFACE = re.compile(r"[A-Za-z0-9_.-]{1,15}")
_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")

INTERFACE_PREFIX = "cali"
"""Every host-side interface that we make starts with this."""


def parse_profile_name(text: str) -> str:
    """Return `text` if it names a profile; raise InvalidValue otherwise."""
    return shared(_parse_name("profile name", text))


def parse_tag(text: str) -> str:
    """Return `text` if it names a tag; raise InvalidValue otherwise."""
    return shared(_parse_name("tag", text))


@lru_cache(maxsize=8192)
def shared(text: str) -> str:
    """Return the first text seen that is equal to `text`.

    Each value from etcd brings its own copy of the same few names of hosts, profiles and tags; an
    agent that knows 10,000 endpoints keeps one of each.
    """
    return text


def parse_interface(text: str) -> str:
    """Return `text` if the kernel would take it as an interface name (1 to 15 characters)."""
    if not _INTERFACE.fullmatch(text) or text in {".", ".."}:
        raise InvalidValue("interface name", text, "1 to 15 characters of A-Z a-z 0-9 _ . -")
    return text


def parse_endpoint_id(text: str) -> str:
    """Return `text` if it can be the id of an endpoint."""
    if not _ENDPOINT_ID.fullmatch(text) or text in {".", ".."}:
        raise InvalidValue("endpoint id", text, NAME_FORM)
    return text


def parse_container(text: str) -> str:
    """Return `text` if it can name a container, or is an absolute path; raise InvalidValue else."""
    if not _CONTAINER.fullmatch(text) and (not text.startswith("/") or "\0" in text):
        expected = "a container's name or id, or the absolute path of a network namespace's file"
        raise InvalidValue("container", text, expected)
    return text


def host_interface(endpoint_id: str) -> str:
    """Name the host side of an endpoint's veth pair: `cali` and the id's first 11 characters."""
    return INTERFACE_PREFIX + endpoint_id[:11]


def mac_address(endpoint_id: str) -> str:
    """Derive the container side's MAC address from the id's hex digits 11 to 20.

    The first octet says: locally administered, not multicast.
    """
    digits = endpoint_id[11:21]
    return ":".join(["02", *(digits[at : at + 2] for at in range(0, 10, 2))])


def namespace_workload_id(path: str) -> str:
    """Derive the workload id of a network namespace given by the absolute `path` of its file.

    `/` becomes `-`; a `-` or `_` of the path gets a `_` before it: no two paths share an id.
    """
    return path.replace("_", "__").replace("-", "_-").replace("/", "-")


def _parse_name(what: str, text: str) -> str:
    if not _NAME.fullmatch(text) or text in {".", ".."}:
        raise InvalidValue(what, text, NAME_FORM)
    return text
