"""The keys that routing on one host goes by, kept up to date.

Blocks change whenever a container comes or goes anywhere in the cluster. Of them only this host's
are kept, and of those only the host that they prefer; nothing else of a block is a change.
"""

import json
from collections.abc import Mapping

from calico_ctl.bgp import topology
from calico_ctl.errors import InvalidValue
from calico_ctl.model import codec, keys


class Following:
    """The values of all keys that matter to one host."""

    def __init__(self, hostname: str, values: Mapping[str, str]) -> None:
        """Take what matters out of all that etcd holds."""
        self._host = hostname
        self.values: dict[str, str] = {}
        blocks = {key: value for key, value in values.items() if keys.is_block(key)}
        for key, value in values.items():
            if key not in blocks:
                self.fold(key, value)
        # Whose they are is known by now.
        for key, value in blocks.items():
            self.fold(key, value)

    def fold(self, key: str, value: str | None) -> bool:
        """Take in a change (None: the key is gone); say whether anything that matters changed."""
        if not topology.follows(key, self._host):
            return False
        if keys.is_block(key):
            own = keys.affinity_of_block(key, self._host) in self.values
            value = _whose(value) if own and value is not None else None
        block = keys.block_of_affinity(key, self._host)
        if value is None and block:
            self.values.pop(block, None)
        before = self.values.get(key)
        if value is None:
            self.values.pop(key, None)
        else:
            self.values[key] = value
        return value != before


def _whose(text: str) -> str:
    """Return as much of a block as says which host it prefers; all of it if that cannot be read."""
    try:
        host = codec.decode_block_affinity(text)
    except InvalidValue:
        return text
    return json.dumps({"affinity": host and f"host:{host}"})
