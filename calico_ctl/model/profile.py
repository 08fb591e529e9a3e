"""A profile: what its members are called, and what they may do."""

from dataclasses import dataclass

from calico_ctl.model.rule import Rules

Tags = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile; no tags and no rules are what missing keys in etcd mean."""

    name: str
    tags: Tags = ()
    rules: Rules = Rules()  # noqa: RUF009 - frozen
