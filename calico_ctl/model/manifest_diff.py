"""What differs between a thing in etcd and a thing in a manifest, as a unified diff."""

from collections.abc import Iterator
from difflib import unified_diff

from calico_ctl.model import manifest, rule_text
from calico_ctl.model.pool import Pool
from calico_ctl.model.profile import Profile

_CONTEXT = 3


def lines(old: Profile | Pool | None, new: Profile | Pool, place: str) -> list[str]:
    """Return the lines of the diff; `old` is None if there is nothing that can be read."""
    name = " ".join(manifest.identity(new))
    before = [] if old is None else list(_lines(old))
    after = list(_lines(new))
    heads = (f"{name} (etcd)", f"{name} ({place})")
    return list(unified_diff(before, after, *heads, n=_CONTEXT, lineterm=""))


def _lines(thing: Profile | Pool) -> Iterator[str]:
    if isinstance(thing, Pool):
        yield from (f"{name}: {_text(value)}" for name, value in manifest.pool_item(thing).items())
        return
    yield "tags:"
    # Their order means nothing.
    yield from (f"  {tag}" for tag in sorted(thing.tags))
    for name, rules in (("inbound", thing.rules.inbound), ("outbound", thing.rules.outbound)):
        yield f"{name}:"
        yield from (f"  {rule_text.format_rule(rule)}" for rule in rules)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
