"""Encapsulation: pools, blocks and hosts in etcd → devices, routes and ends of tunnels.

It lives in the routing service and hears what that hears; BIRD leaves the routes of these pools
alone. While etcd is away, or does not hold `/calico/Ready`, everything stays as it is: tunnels go
on working. With each tick all is compared with the kernel, so what somebody else changed there is
mended, and what failed is tried again.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from calico_ctl.bgp import encapsulation, topology
from calico_ctl.bgp.encapsulation import Holders, Plan, Uplink
from calico_ctl.bgp.topology import Topology
from calico_ctl.daemons.runtime import Tick
from calico_ctl.dataplane import uplink
from calico_ctl.datastore.follow import Changes, Disconnected, Resync
from calico_ctl.errors import CalicoError, InvalidValue
from calico_ctl.ipam import block
from calico_ctl.model import keys
from calico_ctl.model.address import FAMILIES, Family
from calico_ctl.model.keys import Leaf
from calico_ctl.model.node import Node

log = logging.getLogger(__name__)

SERVICE = "encapsulation"
"""The name under which it reports; only where some pool is encapsulated."""

_FOLLOWED = {Leaf.READY, Leaf.BGP_HOST, Leaf.POOL}


class Tunnels(Protocol):
    """The kernel, as far as this goes."""

    def make(self, plan: Plan) -> Mapping[str, str]:
        """Make everything as planned; return what did not work, by what it is about."""
        ...


class Encapsulation:
    """The deciding thread's state: the keys that matter, and what was done about them."""

    def __init__(self, hostname: str, tunnels: Tunnels, say: Callable[[str], None]) -> None:
        """Start without having read anything; `say` is told what is wrong, empty if nothing."""
        self._hostname = hostname
        self._tunnels = tunnels
        self._say = say
        self._values: dict[str, str] | None = None
        # Blocks as etcd has them; read only while some pool is encapsulated.
        self._texts: dict[str, str] = {}
        self._reading = False
        self._blocks: dict[str, Holders] = {}
        self._unread: dict[str, str] = {}
        self._topology: Topology | None = None
        self._said: str | None = None
        self._plan = Plan()

    def turn(self, batch: Iterable[object]) -> None:
        """Take in a batch, make the tunnels right, report."""
        messages = list(batch)
        changed = [self._take_in(message) for message in messages]
        ticked = any(isinstance(message, Tick) for message in messages)
        if self._values is None or not (any(changed) or ticked):
            return
        seen = self._topology = self._topology or topology.read(self._values)
        if not seen.ready:
            return
        try:
            self._apply(seen)
        except CalicoError as error:
            self._report(f"tunnels stay as they are: {error.message}")

    def _take_in(self, message: object) -> bool:
        match message:
            case Resync(entries=entries):
                return self._take_over({key: value for key, (value, _) in entries.items()})
            case Changes(changes=changes) if self._values is not None:
                # All of them, whatever the first one says.
                changed = [self._fold(each.key, each.value) for each in changes]
                return any(changed)
            case Disconnected(reason=reason):
                log.info("etcd is away, tunnels stay as they are: %s", reason)
            case _:
                pass
        return False

    def _take_over(self, values: Mapping[str, str]) -> bool:
        if values.get(keys.READY) != "true":
            return False
        self._values, self._topology = {}, None
        self._texts, self._blocks, self._unread = {}, {}, {}
        for key, value in values.items():
            self._fold(key, value)
        return True

    def _fold(self, key: str, value: str | None) -> bool:
        """Take in a change (None: the key is gone); say whether anything that matters changed."""
        parsed = keys.parse(key)
        if parsed is None or self._values is None:
            return False
        if parsed.leaf is Leaf.BLOCK:
            return self._fold_block(key, value)
        if parsed.leaf not in _FOLLOWED or self._values.get(key) == value:
            return False
        if value is None:
            del self._values[key]
        else:
            self._values[key] = value
        self._topology = None
        return True

    def _fold_block(self, key: str, value: str | None) -> bool:
        """Of a block only who has what counts: a container that comes or goes changes nothing."""
        if value is None:
            self._texts.pop(key, None)
        else:
            self._texts[key] = value
        return self._reading and self._read(key)

    def _read(self, key: str) -> bool:
        before = self._blocks.pop(key, None), self._unread.pop(key, None)
        if key in self._texts:
            try:
                self._blocks[key] = read_block(key.rpartition("/")[2], self._texts[key])
            except InvalidValue as error:
                self._unread[key] = error.message
        return (self._blocks.get(key), self._unread.get(key)) != before

    def _read_all(self) -> None:
        if not self._reading:
            self._reading = True
            for key in self._texts:
                self._read(key)

    def _forget_all(self) -> None:
        self._reading = False
        self._blocks, self._unread = {}, {}

    def _apply(self, seen: Topology) -> None:
        own = seen.nodes.get(self._hostname, Node(self._hostname))
        wanted = encapsulation.wanted(seen.pools)
        plan = Plan()
        if wanted:
            self._read_all()
            plan = encapsulation.plan(
                own, seen.nodes, wanted, list(self._blocks.values()), _uplinks(own)
            )
        else:
            self._forget_all()
        began = time.monotonic()
        problems = {**plan.problems, **self._tunnels.make(plan), **self._unread}
        if plan != self._plan:
            self._plan = plan
            took = (time.monotonic() - began) * 1000
            log.info("%d tunnels, %d routes in %.1f ms", len(plan.tunnels), len(plan.routes), took)
        if wanted or problems or self._said is not None:
            self._report("; ".join(f"{what}: {why}" for what, why in sorted(problems.items())))

    def _report(self, trouble: str) -> None:
        if trouble == self._said:
            return
        if trouble or self._said:
            log.warning("%s", trouble or "all tunnels are as they shall be again")
        self._said = trouble
        self._say(trouble)


def read_block(segment: str, text: str) -> Holders:
    """Read who has what of a block whose key ends with `segment`. Raises InvalidValue."""
    found = block.decode(keys.parse_cidr_segment(segment), text)
    lent = {
        ip: owner.host
        for ip, owner in found.addresses()
        if owner.host is not None and owner.host != found.host
    }
    return Holders(found.cidr, found.host, lent)


def _uplinks(own: Node) -> dict[Family, Uplink]:
    found = ((family, own.address(family)) for family in FAMILIES)
    known = ((family, uplink.of(ip)) for family, ip in found if ip is not None)
    return {family: each for family, each in known if each is not None}
