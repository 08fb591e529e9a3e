"""Changes to the rules of a profile: put one in, take one out. Positions count from 1."""

from dataclasses import replace

from calico_ctl.errors import InvalidValue, NotFound
from calico_ctl.model import rule_text
from calico_ctl.model.rule import Direction, Rule, Rules

_SHOW_HINT = "`calicoctl profile <PROFILE> rule show` lists the rules"


def insert(rules: Rules, direction: Direction, rule: Rule, position: int | None = None) -> Rules:
    """Put a rule at a position (None: behind the last one); a rule that is there stays as it is.

    Raises InvalidValue for a position that would leave a gap.
    """
    present = rules.of(direction)
    at = _index(position, len(present) + 1)
    if rule in present:
        return rules
    return _with(rules, direction, (*present[:at], rule, *present[at:]))


def remove_at(rules: Rules, direction: Direction, position: int) -> Rules:
    """Take out the rule at a position. Raises InvalidValue, or NotFound if there is no rule."""
    present = rules.of(direction)
    if not present:
        raise NotFound(f"there are no {direction.value} rules", _SHOW_HINT)
    at = _index(position, len(present))
    return _with(rules, direction, present[:at] + present[at + 1 :])


def remove(rules: Rules, direction: Direction, rule: Rule) -> Rules:
    """Take out the first rule that is equal to this one. Raises NotFound."""
    present = rules.of(direction)
    if rule not in present:
        written = rule_text.format_rule(rule)
        raise NotFound(f"there is no {direction.value} rule `{written}`", _SHOW_HINT)
    at = present.index(rule)
    return _with(rules, direction, present[:at] + present[at + 1 :])


def parse_position(text: str) -> int:
    """Return a position; 0, which old documents use for the first one, is 1."""
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise InvalidValue("--at", text, "the number of a rule, counted from 1")
    return max(int(text), 1)


def _index(position: int | None, largest: int) -> int:
    if position is None:
        return largest - 1
    if not 1 <= position <= largest:
        expected = "1" if largest == 1 else f"1 to {largest}"
        raise InvalidValue("--at", str(position), expected)
    return position - 1


def _with(rules: Rules, direction: Direction, changed: tuple[Rule, ...]) -> Rules:
    if direction is Direction.INBOUND:
        return replace(rules, inbound=changed)
    return replace(rules, outbound=changed)
