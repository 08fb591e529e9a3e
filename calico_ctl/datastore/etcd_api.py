"""Which of etcd's two APIs is spoken: as ETCD_API says, or as what is in etcd says.

The two keep their keys apart. So whoever speaks another one than the rest of the cluster sees an
empty store, and that must never happen without a word.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Protocol

from calico_ctl.datastore.etcd_requests import EtcdSettings, Forbidden, NotServed
from calico_ctl.datastore.store import Api, Change, Entry, Event, Leaves, Made, Page, Store, Tree
from calico_ctl.errors import DatastoreError
from calico_ctl.model import etcd_access
from calico_ctl.model.etcd_access import EtcdAuthority
from calico_ctl.model.root import FILLING, MOVED, READY, ROOT

_CHOOSE = "ETCD_API=2 or ETCD_API=3 says which of them counts"


class EtcdStore(Store, Protocol):
    """A store whose connections can be closed; it stays usable."""

    def close(self) -> None:
        """Close idle connections."""
        ...


def store(settings: EtcdSettings, api: str) -> EtcdStore:
    """Return the store that `api` names; nobody is contacted yet."""
    # Imported here: few need both.
    if api == etcd_access.V2:
        from calico_ctl.datastore.etcd import Etcd

        return Etcd(settings)
    if api == etcd_access.V3:
        from calico_ctl.datastore.etcd_v3 import EtcdV3

        return EtcdV3(settings)
    return AnyEtcd(settings)


class AnyEtcd:
    """A `Store` that finds out which API it has to speak when it is first used."""

    def __init__(self, settings: EtcdSettings) -> None:
        """Contact nobody yet."""
        self._settings = settings
        self._choosing = Lock()
        self._chosen: tuple[EtcdStore, Api] | None = None

    @property
    def address(self) -> str:
        """Where etcd is, for messages."""
        first = EtcdAuthority(self._settings.host, self._settings.port)
        return ",".join(str(each) for each in (first, *self._settings.others))

    @property
    def member(self) -> str:
        """Which of its servers answers, as far as that is known."""
        return self._store.member

    @property
    def api(self) -> Api:
        """Which of etcd's APIs it is, and why."""
        return self._choice()[1]

    def close(self) -> None:
        """Close idle connections; the store stays usable."""
        if self._chosen is not None:
            self._chosen[0].close()

    def get(self, key: str) -> Entry | None:
        """Return the entry, or None if there is none."""
        return self._store.get(key)

    def tree(self, directory: str) -> Tree:
        """Return everything below a directory."""
        return self._store.tree(directory)

    def leaves(
        self, directory: str, without: tuple[str, ...] = (), page: Page | None = None
    ) -> Leaves:
        """Return all keys with values below a directory but some."""
        return self._store.leaves(directory, without, page)

    def put(self, key: str, value: str, ttl: int | None = None) -> Entry:
        """Write without a condition."""
        return self._store.put(key, value, ttl)

    def refresh(self, key: str, ttl: int) -> bool:
        """Let a key that was put with a `ttl` stay for longer; say whether it is there."""
        return self._store.refresh(key, ttl)

    def create(self, key: str, value: str | None) -> Entry:
        """Make a key, or a directory; raise AlreadyExists if it is there."""
        return self._store.create(key, value)

    def swap(self, seen: Entry, value: str) -> Entry:
        """Write if the key is still as `seen`; raise Conflict if not."""
        return self._store.swap(seen, value)

    def delete(self, key: str, seen: Entry | None = None) -> bool:
        """Delete a key, or a directory with all that is below it; say whether it was there."""
        return self._store.delete(key, seen)

    def write_together(
        self, changes: Sequence[Change], made: Made | None = None
    ) -> Mapping[str, Entry]:
        """Make changes in the order given, all or none where that is possible."""
        return self._store.write_together(changes, made)

    def watch(self, directory: str, after: int, timeout: float) -> Sequence[Event]:
        """Wait for changes below a directory."""
        return self._store.watch(directory, after, timeout)

    @property
    def _store(self) -> EtcdStore:
        return self._choice()[0]

    def _choice(self) -> tuple[EtcdStore, Api]:
        with self._choosing:
            if self._chosen is None:
                old = store(self._settings, etcd_access.V2)
                new = store(self._settings, etcd_access.V3)
                try:
                    api = choose(old, new)
                except BaseException:
                    old.close()
                    new.close()
                    raise
                chosen, other = (old, new) if api.version == 2 else (new, old)
                other.close()
                self._chosen = (chosen, api)
            return self._chosen


@dataclass(frozen=True, slots=True)
class _Look:
    """What one of the stores says to a question for /calico: whether it is there, or an error."""

    version: int
    is_there: bool = False
    error: DatastoreError | None = None


def choose(v2: Store, v3: Store) -> Api:
    """Look into both stores of an etcd; return which API is to be spoken.

    Raises DatastoreError if both hold /calico, if neither API is served, or if what may hold it, or
    what it was moved to, does not let us look; DatastoreUnavailable.
    """
    looks = [_look(2, v2), _look(3, v3)]
    holding = [each for each in looks if each.is_there]
    if len(holding) > 1:
        return _moved(v2, v3)
    for held in holding:
        other = looks[3 - held.version]
        # Where we may not look may be where it was moved to.
        if other.error is not None and _says_moved((v2, v3)[held.version - 2]):
            raise other.error
        return Api(held.version, f"{ROOT} is in etcd's v{held.version} store")
    for each in looks:
        if isinstance(each.error, Forbidden):
            raise each.error
    served = [each for each in looks if each.error is None]
    if not served:
        raise looks[0].error or AssertionError("neither served nor refused")
    reason = f"etcd has no {ROOT} yet"
    if len(served) == 1:
        reason = f"etcd serves no v{5 - served[0].version} API"
    return Api(served[0].version, reason)


def _moved(v2: Store, v3: Store) -> Api:
    """Return the API to which `datastore migrate` has moved the cluster; else raise."""
    stores = {2: v2, 3: v3}
    for version, other in ((2, 3), (3, 2)):
        if _ready(stores[version]) == "true" and _says_moved(stores[other]):
            return Api(version, f"the cluster was moved here from etcd's v{other} store")
    message = f"etcd at {v2.address} has {ROOT} in its v2 store and in its v3 store"
    hint = _CHOOSE
    for version, there in stores.items():
        if there.get(FILLING) is not None and _ready(there) != "true":
            message += f"; that of v{version} is not complete"
            hint = (
                f"`calicoctl datastore migrate --from={5 - version} --to={version}` is at work, or"
                " was broken off; then the same again does the rest"
            )
    raise DatastoreError(message, hint=hint)


def _says_moved(there: Store) -> bool:
    return _ready(there) == MOVED


def _ready(there: Store) -> str | None:
    entry = there.get(READY)
    return None if entry is None else entry.value


def _look(version: int, there: Store) -> _Look:
    try:
        return _Look(version, there.get(ROOT) is not None)
    except (Forbidden, NotServed) as error:
        return _Look(version, error=error)
