"""How long an automatic claim takes, at any fill level: `python -m benchmarks.addresses`.

A pool of 65,536 addresses in a real etcd, filled by writing its blocks as they would be, in a
cluster of 100 hosts or, last and without a target, of 1,000: what each claim reads of all hosts
grows with their number. What counts is the time that a claim takes beyond etcd's
own round trips: its wall time without what it spends in the system calls that send questions and
wait for answers, which any client does. What we do to make a question and to understand an answer,
HTTP and JSON included, is ours.
"""

import argparse
import contextlib
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, ClassVar
from unittest import mock

from netaddr import IPAddress, IPNetwork

from benchmarks import report
from benchmarks.report import Line
from calico_ctl.datastore import addresses, blocks, nodes, pools
from calico_ctl.datastore.store import Store
from calico_ctl.ipam import block
from calico_ctl.ipam.block import Block, Owner
from calico_ctl.model import keys
from calico_ctl.model.address import AnyAddress, Family
from calico_ctl.model.node import Node
from calico_ctl.model.pool import Pool
from tests.support import etcd_server
from tests.support.etcd_server import EtcdServer

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_POOLS: dict[Family, IPNetwork] = {4: IPNetwork("10.0.0.0/16"), 6: IPNetwork("fd80::/112")}
_REQUESTS: dict[Family, AnyAddress] = {4: AnyAddress.IPV4, 6: AnyAddress.IPV6}
_CLAIMS = 100
_HOSTS = 100
_TARGET_MS = 10.0


@dataclass(frozen=True)
class Scene:
    """How a pool is filled: how many of its 1,024 blocks have nothing left, or one address.

    They belong to the other hosts in turn, or all to the one that claims.
    """

    what: str
    full: int
    nearly_full: int = 0
    hosts: int = _HOSTS
    is_own: bool = False


_SCENES = (
    Scene("an empty pool", 0),
    Scene("50 % full, all by this host", 512, is_own=True),
    Scene("90 % full, by 100 hosts, this one has none", 922),
    Scene("99 % full, all by this host", 1014, is_own=True),
    Scene("99 % full, by 100 hosts, no block is left", 400, 624),
    Scene("an empty pool, 1,000 hosts", 0, hosts=1000),
    Scene("99 % full, by 1,000 hosts, no block is left", 400, 624, hosts=1000),
)


class _Clocked(socket.socket):
    """A socket that counts what is asked and the seconds that asking and waiting take."""

    requests: ClassVar[int] = 0
    seconds: ClassVar[float] = 0.0

    def sendall(self, data: "ReadableBuffer", flags: int = 0, /) -> None:
        """Do what a socket does."""
        _Clocked.requests += 1
        with _clocked():
            super().sendall(data, flags)

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Do what a socket does."""
        with _clocked():
            return super().recv(size, flags)


@contextlib.contextmanager
def _clocked() -> Iterator[None]:
    began = time.perf_counter()
    try:
        yield
    finally:
        _Clocked.seconds += time.perf_counter() - began


def lines(api: int) -> Iterator[Line]:
    """Measure every scene with both families of addresses."""
    for scene in _SCENES:
        for family in _POOLS:
            with _filled(scene, family, api) as store:
                yield from _measure(scene, store, family)


@contextlib.contextmanager
def _filled(scene: Scene, family: Family, api: int) -> Iterator[Store]:
    with tempfile.TemporaryDirectory() as scratch:
        server = EtcdServer(Path(scratch), v2=api == 2)
        server.start()
        store = server.own_store(timeout=60.0)
        try:
            etcd_server.write_fast(server, _contents(scene, _POOLS[family]))
            # its connection is made when it is first needed
            with mock.patch("socket.socket", _Clocked):
                pools.create(store, Pool(_POOLS[family]))
                nodes.register(store, Node("h0", IPAddress("172.16.0.1"), IPAddress("fd00::1")))
                yield store
        finally:
            store.close()
            server.stop()


def _contents(scene: Scene, pool: IPNetwork) -> Iterator[tuple[str, str]]:
    others = [f"h{number + 1}" for number in range(scene.hosts)]
    for number, host in enumerate(others):
        yield keys.bgp_host_address(host, 4), f"172.17.{number // 250}.{number % 250}"
        yield keys.bgp_host_address(host, 6), f"fd00::17:{number:x}"
    for number in range(scene.full + scene.nearly_full):
        host = "h0" if scene.is_own else others[number % scene.hosts]
        cidr = block.cidr_of(IPAddress(int(pool.first) + number * block.SIZE, pool.version))
        taken = block.SIZE if number < scene.full else block.SIZE - 1
        owners = {at: Owner(f"{number:016x}{at:016x}", {"host": host}) for at in range(taken)}
        yield keys.block(cidr), block.encode(Block(cidr, f"host:{host}", owners))
        yield keys.affinity(host, cidr), blocks.FULL if taken == block.SIZE else ""


def _measure(scene: Scene, store: Store, family: Family) -> Iterator[Line]:
    own, whole, busy, requests = [], [], [], []
    for number in range(_CLAIMS):
        _Clocked.requests, _Clocked.seconds = 0, 0.0
        began, processor = time.perf_counter(), time.thread_time()
        addresses.claim(store, "h0", _REQUESTS[family], f"new{number}", Random(number))
        taken = time.perf_counter() - began
        busy.append((time.thread_time() - processor) * 1000)
        own.append((taken - _Clocked.seconds) * 1000)
        whole.append(taken * 1000)
        requests.append(_Clocked.requests)
    target = _TARGET_MS if scene.hosts == _HOSTS else 0
    yield report.latency(f"IPv{family}, {scene.what}", own, p50=target, p99=10 * target)
    middle, most = report.percentile(requests, 50), max(requests)
    yield Line(
        "… with etcd's round trips; of our processor; requests",
        f"p50 {report.percentile(whole, 50):.1f} ms; p50 {report.percentile(busy, 50):.1f} ms;"
        f" p50 {middle}, at most {most}",
    )


def main() -> int:
    """Measure; return 1 if a target was missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--api", default=2, type=int, choices=[2, 3], help="which API of etcd")
    given = parser.parse_args()
    return report.show("Automatic claims: beyond etcd's round trips", lines(given.api))


if __name__ == "__main__":
    sys.exit(main())
