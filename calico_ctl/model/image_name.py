"""The name of a container image, as Docker writes it: `[registry/]repository[:tag][@digest]`."""

import re

from calico_ctl.errors import InvalidValue

_PART = r"[A-Za-z0-9_.-]+"
_REGISTRY = rf"(?:{_PART}|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?"
_NAME = re.compile(
    rf"(?P<repository>(?:{_REGISTRY}/)?{_PART}(?:/{_PART})*)"
    rf"(?::{_PART})?(?:@[A-Za-z0-9_+.-]+:[0-9A-Fa-f]+)?"
)
"""Somewhat wider than what engines take, which differs among them; they refuse the rest."""


def parse(text: str, what: str) -> str:
    """Return the name as it is; raise InvalidValue if it is none."""
    if not _NAME.fullmatch(text):
        raise InvalidValue(what, text, "an image such as registry.example.org/calico/node:1.0.0")
    return text


def repository(name: str) -> str:
    """Return a name without its tag and digest; all of it if it is no name."""
    found = _NAME.fullmatch(name)
    return found["repository"] if found else name
