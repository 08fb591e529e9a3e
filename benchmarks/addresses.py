"""How long an automatic claim takes, at any fill level: `python -m benchmarks.addresses`.

A pool of 65,536 addresses on a real etcd, filled by writing its blocks as they would be. Measured
is our own processor time around the store's requests, and beside it the whole and the requests.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TypeVar

from netaddr import IPAddress, IPNetwork

from benchmarks import report
from benchmarks.report import Line
from calico_ctl.datastore import addresses, blocks, in_order, nodes, pools
from calico_ctl.datastore.etcd import Etcd
from calico_ctl.datastore.store import Api, Change, Entry, Event, Made, Tree
from calico_ctl.ipam import block
from calico_ctl.ipam.block import Block, Owner
from calico_ctl.model import keys
from calico_ctl.model.address import AnyAddress
from calico_ctl.model.node import Node
from calico_ctl.model.pool import Pool
from tests.support.etcd_server import EtcdServer

POOL = IPNetwork("10.0.0.0/16")
OTHER_HOSTS = 1000
CLAIMS = 100
TARGET_MS = 10.0

_T = TypeVar("_T")


_API = Api(2, "it is clocked")


@dataclass
class Clocked:
    """A store that counts its requests and the seconds of processor time that they took."""

    store: Etcd
    address: str = "clocked"
    member: str = "clocked"
    api: Api = _API
    requests: int = 0
    seconds: float = 0.0

    def get(self, key: str) -> Entry | None:
        """Do what the store does."""
        return self._clock(lambda: self.store.get(key))

    def tree(self, directory: str) -> Tree:
        """Do what the store does."""
        return self._clock(lambda: self.store.tree(directory))

    def create(self, key: str, value: str | None) -> Entry:
        """Do what the store does."""
        return self._clock(lambda: self.store.create(key, value))

    def swap(self, seen: Entry, value: str) -> Entry:
        """Do what the store does."""
        return self._clock(lambda: self.store.swap(seen, value))

    def delete(self, key: str, seen: Entry | None = None) -> bool:
        """Do what the store does."""
        return self._clock(lambda: self.store.delete(key, seen))

    def write_together(
        self, changes: Sequence[Change], made: Made | None = None
    ) -> Mapping[str, Entry]:
        """Do what the store does: one request for each change."""
        return in_order.write(self, changes, made)

    def put(self, key: str, value: str, ttl: int | None = None) -> Entry:
        """Do what the store does."""
        return self._clock(lambda: self.store.put(key, value, ttl))

    def refresh(self, key: str, ttl: int) -> bool:
        """Not used."""
        raise NotImplementedError

    def watch(self, directory: str, after: int, timeout: float) -> Sequence[Event]:
        """Not used."""
        raise NotImplementedError

    def _clock(self, act: Callable[[], _T]) -> _T:
        began = time.thread_time()
        try:
            return act()
        finally:
            self.requests += 1
            self.seconds += time.thread_time() - began


@dataclass(frozen=True)
class Scene:
    """How the pool is filled: which share of the blocks, to what part, by whom."""

    what: str
    full_blocks: int
    hosts: int = 1
    taken: int = block.SIZE
    """How many addresses of each block that is there are taken."""


SCENES = (
    Scene("an empty pool", 0),
    Scene("a host with 10 full blocks", 10),
    Scene("a host with half of the pool, all full", 512),
    Scene("a host with 99 % of the pool, all full", 1013),
    Scene("1000 hosts with all blocks, each 98 % full, this one has none", 1024, 1000, 63),
)


def main() -> int:
    """Measure every scene; return the exit code."""
    return report.show("Automatic claims", _lines())


def _lines() -> Iterator[Line]:
    for scene in SCENES:
        with _filled(scene) as store:
            yield from _measure(scene, store)


@contextmanager
def _filled(scene: Scene) -> Iterator[Etcd]:
    with tempfile.TemporaryDirectory() as scratch:
        server = EtcdServer(Path(scratch))
        server.start()
        store = server.store(timeout=60.0)
        try:
            pools.create(store, Pool(POOL))
            nodes.register(store, Node("h0", IPAddress("172.16.0.1")))
            with ThreadPoolExecutor(8) as writers:
                list(writers.map(lambda leaf: store.put(*leaf), _contents(scene)))
            yield store
        finally:
            store.close()
            server.stop()


def _contents(scene: Scene) -> Iterator[tuple[str, str]]:
    first_host = 0 if scene.hosts == 1 else 1
    for number in range(OTHER_HOSTS):
        yield keys.bgp_host_address(f"h{number + 1}", 4), f"172.17.{number // 250}.{number % 250}"
    for number in range(scene.full_blocks):
        host = f"h{first_host + number % scene.hosts}"
        cidr = block.cidr_of(IPAddress(int(POOL.first) + number * block.SIZE))
        owners = {at: Owner(f"{number:016x}{at:016x}", {"host": host}) for at in range(scene.taken)}
        yield keys.block(cidr), block.encode(Block(cidr, f"host:{host}", owners))
        yield keys.affinity(host, cidr), blocks.FULL if scene.taken == block.SIZE else ""


def _measure(scene: Scene, store: Etcd) -> Iterator[Line]:
    own, whole, requests = [], [], []
    for number in range(CLAIMS):
        clocked = Clocked(store)
        began, busy = time.perf_counter(), time.thread_time()
        addresses.claim(clocked, "h0", AnyAddress.IPV4, f"new{number}", Random(number))
        own.append((time.thread_time() - busy - clocked.seconds) * 1000)
        whole.append((time.perf_counter() - began) * 1000)
        requests.append(float(clocked.requests))
    yield report.latency(f"{scene.what}: beside etcd", own, p50=TARGET_MS, p99=10 * TARGET_MS)
    yield report.latency(f"{scene.what}: in all", whole)
    middle, most = report.percentile(requests, 50), max(requests)
    yield Line(f"{scene.what}: requests", f"p50 {middle:.0f}, at most {most:.0f}")


if __name__ == "__main__":
    sys.exit(main())
