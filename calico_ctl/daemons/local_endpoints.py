"""This host's endpoints in memory, as etcd has them: for who must answer at once, or without etcd.

While etcd is away, what was known stays.
"""

from collections.abc import Iterable, Mapping
from functools import partial

from calico_ctl.daemons.runtime import Post, Stopping
from calico_ctl.datastore import endpoints, follow
from calico_ctl.datastore.follow import Change, Changes, Message, Resync, Scope
from calico_ctl.datastore.store import Store
from calico_ctl.errors import InvalidValue
from calico_ctl.model import codec, keys
from calico_ctl.model.endpoint import DOCKER, Endpoint
from calico_ctl.model.keys import Leaf


class LocalEndpoints:
    """The endpoints of containers; any thread may read them."""

    def __init__(self, store: Store, hostname: str) -> None:
        """Know of none yet."""
        self._store = store
        self._hostname = hostname
        self._of: Mapping[str, tuple[Endpoint, ...]] = {}

    def of(self, container_id: str) -> Endpoint | None:
        """Return a container's endpoint (the first, if it should have several), or None."""
        found = self._of.get(container_id)
        return found[0] if found else None

    def run(self, post: Post, stopping: Stopping) -> None:
        """Follow etcd until `stopping` is set; a listener that posts nothing."""
        del post
        scope = Scope(keys.orchestrator(self._hostname, DOCKER))
        follow.follow(self._store, scope, self._take_in, stopping)

    def read(self, container_id: str) -> None:
        """Take over at once what etcd has of a container that was just changed."""
        found = endpoints.of_workload(self._store, self._hostname, DOCKER, container_id)
        self._replace(container_id, found)

    def _take_in(self, message: Message) -> None:
        match message:
            case Resync(entries=entries):
                self._of = {}
                for key, (value, _) in entries.items():
                    self._fold(key, value)
            case Changes(changes=changes):
                for change in changes:
                    self._fold_change(change)
            case _:
                pass

    def _fold_change(self, change: Change) -> None:
        self._fold(change.key, change.value)

    def _fold(self, key: str, value: str | None) -> None:
        parsed = keys.parse(key)
        if parsed is None or parsed.leaf is not Leaf.ENDPOINT or parsed.endpoint is None:
            return
        others = [
            each
            for each in self._of.get(parsed.endpoint.workload, ())
            if each.key != parsed.endpoint
        ]
        decoded = partial(codec.decode_endpoint, parsed.endpoint)
        try:
            found = [] if value is None else [decoded(value)]
        except InvalidValue:
            # The agent reports it.
            found = []
        self._replace(parsed.endpoint.workload, [*others, *found])

    def _replace(self, container_id: str, found: Iterable[Endpoint]) -> None:
        known = dict(self._of)
        known.pop(container_id, None)
        listed = tuple(sorted(found, key=lambda endpoint: endpoint.key))
        self._of = known | {container_id: listed} if listed else known
