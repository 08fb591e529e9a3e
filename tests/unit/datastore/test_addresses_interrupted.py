"""IPAM with a crash, or somebody else's whole operation, at every single request to the store."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from random import Random

import pytest
from netaddr import IPAddress, IPNetwork

from calico_ctl.datastore import address_check, addresses, blocks, nodes, pools
from calico_ctl.datastore.store import Change, Entry, Made, Tree
from calico_ctl.errors import CalicoError
from calico_ctl.ipam import check
from calico_ctl.ipam.check import Finding, Kind
from calico_ctl.model.address import AnyAddress
from calico_ctl.model.node import Node
from calico_ctl.model.pool import Pool
from tests.support.memory_store import MemoryStore

Operation = Callable[[MemoryStore], object]
POOLS = (IPNetwork("10.0.0.0/29"), IPNetwork("10.0.0.64/29"))
"""Two blocks of which eight addresses each may be given out."""


class Killed(BaseException):
    """The process is gone: nothing of it runs any more."""


class Interrupted(MemoryStore):
    """Calls `act` before the request number `at`, counted from when it is armed."""

    act: Callable[[], object] = staticmethod(lambda: None)
    at = -1

    def copy(self) -> "Interrupted":
        """Return another that holds the same, not armed."""
        made = Interrupted()
        made.transactional = self.transactional
        made._nodes, made._index = dict(self._nodes), self._index
        made._history = self._history.copy()
        return made

    def _step(self) -> None:
        self.at -= 1
        if self.at == -1:
            self.act()

    def disarm(self) -> bool:
        """Let nothing happen any more; say whether it has happened."""
        happened, self.at = self.at < 0, -1
        return happened

    def get(self, key: str) -> Entry | None:
        self._step()
        return super().get(key)

    def tree(self, directory: str) -> Tree:
        self._step()
        return super().tree(directory)

    def create(self, key: str, value: str | None) -> Entry:
        self._step()
        return super().create(key, value)

    def swap(self, seen: Entry, value: str) -> Entry:
        self._step()
        return super().swap(seen, value)

    def delete(self, key: str, seen: Entry | None = None) -> bool:
        self._step()
        return super().delete(key, seen)

    def write_together(
        self, changes: Sequence[Change], made: Made | None = None
    ) -> Mapping[str, Entry]:
        if self.transactional and changes:
            self._step()
        return super().write_together(changes, made)


def claim(request: str, owner: str, host: str) -> Operation:
    wanted = AnyAddress(request) if request.startswith("ipv") else IPAddress(request)
    return lambda store: addresses.claim(store, host, wanted, owner, Random(3))


def release(ip: str, owner: str) -> Operation:
    return lambda store: addresses.release(store, IPAddress(ip), owner)


def release_all(owner: str) -> Operation:
    return lambda store: addresses.release_all(store, owner)


def leave(host: str) -> Operation:
    return lambda store: addresses.leave(store, host)


def repaired(store: MemoryStore) -> list[Finding]:
    """Repair what is wrong, once; return what is wrong then."""
    for finding in check.check(address_check.read(store)):
        if finding.repair is not None:
            address_check.repair(store, finding.repair)
    return check.check(address_check.read(store))


def world(name: str, *, transactional: bool) -> Interrupted:
    """What there is before an operation: a copy, for each of hundreds of interruptions."""
    copied = _made(name).copy()
    copied.transactional = transactional
    return copied


@cache
def _made(name: str) -> Interrupted:
    store = Interrupted()
    for cidr in POOLS:
        pools.create(store, Pool(cidr))
    for number in (1, 2):
        nodes.register(store, Node(f"h{number}", IPAddress(f"172.16.0.{number}")))
    for operation in OPERATIONS[name][0]:
        operation(store)
    return store


OPERATIONS = {
    "a first claim": ([], claim("ipv4", "a", "h1")),
    "a claim in a block": ([claim("ipv4", "a", "h1")], claim("ipv4", "b", "h1")),
    "a second claim": ([claim("ipv4", "a", "h1")], claim("ipv4", "a", "h1")),
    "a claim elsewhere": ([claim("ipv4", "a", "h1")], claim("10.0.0.70", "a", "h1")),
    "the last of a block": (
        [claim("ipv4", f"x{n}", "h1") for n in range(7)],
        claim("ipv4", "a", "h1"),
    ),
    "a release": ([claim("ipv4", f"x{n}", "h1") for n in range(8)], release("10.0.0.5", "x5")),
    "the last release": ([claim("ipv4", "a", "h1")], release("10.0.0.0", "a")),
    "a release of all": (
        [claim("ipv4", "a", "h1"), claim("10.0.0.6", "a", "h1"), claim("10.0.0.70", "a", "h1")],
        release_all("a"),
    ),
    "a claim in an orphan": (
        [claim("ipv4", "a", "h1"), claim("10.0.0.6", "b", "h2"), leave("h1")],
        claim("ipv4", "c", "h2"),
    ),
    "a host that leaves": (
        [claim("ipv4", "a", "h1"), claim("10.0.0.6", "b", "h2"), claim("10.0.0.70", "c", "h1")],
        leave("h1"),
    ),
}


HALF_DONE = {Kind.HANDLE, Kind.AFFINITY}


@pytest.mark.parametrize("transactional", [False, True])
@pytest.mark.parametrize("name", OPERATIONS)
def test_whatever_a_crash_leaves_is_found_and_repaired(name, transactional) -> None:
    """No endpoint is published here, so in the end every address has to be free again.

    Where several keys change at once, a claim is either there with all that belongs to it or not.
    """
    possible = {Kind.LEAKED} | (set() if transactional else HALF_DONE)
    _, operation = OPERATIONS[name]
    for at in range(200):
        store = world(name, transactional=transactional)
        store.at, store.act = at, _kill
        with suppress(Killed):
            operation(store)
            break
        store.disarm()
        found = check.check(address_check.read(store))
        _require_handles_that_are_not_too_small(store)
        assert {finding.kind for finding in found} <= possible, at
        assert repaired(store) == []
        left = address_check.read(store)
        assert not any(each.owners for each, _ in left.blocks.values()), at
        assert (left.notes, left.handles) == (set(), {}), at
    else:
        pytest.fail("it never came to its end")
    assert at >= 2


def life(owner: str, host: str) -> Operation:
    def live(store: MemoryStore) -> None:
        addresses.claim(store, host, AnyAddress.IPV4, owner, Random(3))
        addresses.release_all(store, owner)

    return live


def crowd(store: MemoryStore) -> None:
    """Take all that is left."""
    for number in range(16):
        addresses.claim(store, "h2", AnyAddress.IPV4, f"y{number}", Random(3))


# An owner is one endpoint, of which one process takes care at a time: these are others.
INTRUDERS = {
    "a claim here": claim("ipv4", "i", "h1"),
    "a claim of another host": claim("ipv4", "i", "h2"),
    "a definite claim": claim("10.0.0.70", "i", "h2"),
    "a short life here": life("i", "h1"),
    "a short life on another host": life("i", "h2"),
    "a crowd": crowd,
    "a host that leaves": leave("h1"),
}


@pytest.mark.parametrize("transactional", [False, True])
@pytest.mark.parametrize("other", INTRUDERS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_in_the_middle_of_another_breaks_nothing(name, other, transactional) -> None:
    _, operation = OPERATIONS[name]
    intruder = INTRUDERS[other]
    for at in range(200):
        store = world(name, transactional=transactional)
        store.at, store.act = at, lambda store=store: _try(intruder, store)  # type: ignore[misc]
        _try(operation, store)
        happened = store.disarm()
        found = check.check(address_check.read(store))
        assert [each for each in found if each.kind is not Kind.LEAKED] == [], at
        _require_that_no_room_is_hidden(store)
        if not happened:
            break
    else:
        pytest.fail("it never came to its end")


def _kill() -> None:
    raise Killed


def _try(operation: Operation, store: MemoryStore) -> None:
    with suppress(CalicoError):
        operation(store)


def _require_handles_that_are_not_too_small(store: MemoryStore) -> None:
    """Else `release_all` would miss an address."""
    seen = address_check.read(store)
    for cidr, (each, _) in seen.blocks.items():
        for _, owner in each.addresses():
            assert owner.id is not None
            assert owner.id in seen.handles, owner
            assert cidr in seen.handles[owner.id][0].counts


def _require_that_no_room_is_hidden(store: MemoryStore) -> None:
    seen = address_check.read(store)
    for key, (value, _) in blocks.all_notes(store, 4).items():
        (cidr,) = blocks.cidrs_of([key])
        if value == blocks.FULL:
            assert seen.blocks[cidr][0].free(POOLS, ()) is None, key
