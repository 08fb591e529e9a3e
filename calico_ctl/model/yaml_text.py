"""YAML as people write it and as we write it: the only place that knows PyYAML."""

from typing import Any

import yaml


def write(value: object) -> str:
    """Return one document, in block style, keys in the order they have."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text


class _Dumper(yaml.SafeDumper):
    """Lists are indented below their key, and no anchors are made of what is there twice."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:  # noqa: FBT001, FBT002, ARG002
        """Begin a level; never without indentation."""
        return super().increase_indent(flow, False)

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        """Write everything out."""
        return True
