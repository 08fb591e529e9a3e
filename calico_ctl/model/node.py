"""A host that takes part: its name, its addresses, its AS number."""

import re
from dataclasses import dataclass

from netaddr import IPAddress

from calico_ctl.errors import InvalidValue
from calico_ctl.model.address import Family

DEFAULT_AS_NUMBER = 64511

_LARGEST_AS_NUMBER = 2**32 - 1
_PLAIN = re.compile(r"0|[1-9][0-9]{0,9}")


@dataclass(frozen=True, slots=True)
class Node:
    """One host. `as_number` is None where the cluster's default holds."""

    host: str
    ipv4: IPAddress | None = None
    ipv6: IPAddress | None = None
    as_number: int | None = None

    def address(self, family: Family) -> IPAddress | None:
        """Return the host's address of that family."""
        return self.ipv4 if family == 4 else self.ipv6


def parse_as_number(text: str) -> int:
    """Return an AS number given as `64511` or, in asdot, as `1.10`; raise InvalidValue otherwise.

    0 is refused: RFC 7607 reserves it, and no BGP speaker may use it.
    """
    high, dot, low = text.partition(".")
    parts = [high, low] if dot else [high]
    if not all(_PLAIN.fullmatch(part) for part in parts):
        raise _invalid_as_number(text)
    if dot and any(int(part) > 0xFFFF for part in parts):
        raise _invalid_as_number(text)
    number = int(high) * 0x10000 + int(low) if dot else int(high)
    if not 0 < number <= _LARGEST_AS_NUMBER:
        raise _invalid_as_number(text)
    return number


def _invalid_as_number(text: str) -> InvalidValue:
    return InvalidValue(
        "AS number", text, f"1 to {_LARGEST_AS_NUMBER}, or two numbers up to 65535 with a dot"
    )
