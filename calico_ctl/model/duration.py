"""How long something may take, as people write it: `500ms`, `90s`, `10m`, `1h`."""

import re

from calico_ctl.errors import InvalidValue

LONGEST = 7 * 24 * 3600.0
"""The most seconds that a duration may have, unless who asks allows less."""

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "": 1.0}
_FORM = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d|)", re.ASCII)


def parse(text: str, what: str = "duration", longest: float = LONGEST) -> float:
    """Return the seconds that `text` says: a number with a unit, or without one for seconds.

    Raises InvalidValue for anything else, and for more than `longest` seconds.
    """
    found = _FORM.fullmatch(text)
    seconds = None if found is None else float(found[1]) * _SECONDS[found[2]]
    if seconds is None or seconds > longest:
        raise InvalidValue(what, text, f"a time such as 500ms, 10s, 5m or 1h, at most {longest:g}s")
    return seconds
