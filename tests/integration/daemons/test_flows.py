"""Connections are listed for the deciding thread, a few at a time, and cut when it says so."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from netaddr import IPAddress

from calico_ctl.daemons.flows import Flows, FlowsSeen
from tests.support.command import wait_until
from tests.support.netns import NetNs, private_netns

pytestmark = pytest.mark.integration

FLOW = "-p udp --orig-port-src 1000 --orig-port-dst 53 -t 60"


@dataclass
class Running:
    """The thread, and what it posted."""

    host: NetNs
    flows: Flows = field(default_factory=Flows)
    posted: list[FlowsSeen] = field(default_factory=list)

    def know(self, src: str, dst: str) -> None:
        """Put a connection into the kernel's table."""
        self.host.run(["conntrack", "-I", "-s", src, "-d", dst, *FLOW.split()])

    def known(self) -> str:
        """What the kernel knows."""
        return "".join(self.host.run(["conntrack", "-L", "-f", f]).out for f in ("ipv4", "ipv6"))


@pytest.fixture
def running() -> Iterator[Running]:
    with private_netns() as host, host.entered():
        running = Running(host)
        stopping = threading.Event()

        def work() -> None:
            with host.entered():
                running.flows.run(running.posted.append, stopping)  # type: ignore[arg-type]

        thread = threading.Thread(target=work)
        thread.start()
        yield running
        stopping.set()
        for seen in running.posted:
            seen.judged.set()
        thread.join(60)
        assert not thread.is_alive()


def test_the_connections_of_an_address_are_posted_with_the_hosts_own_addresses(running):
    running.host.run(["ip", "addr", "add", "10.9.9.9/32", "dev", "lo"])
    running.know("10.0.0.1", "10.0.0.2")
    running.know("10.0.0.3", "10.0.0.4")
    running.flows.look(frozenset({"10.0.0.2"}))
    wait_until(lambda: running.posted, 5, "something is posted")
    (flow,) = running.posted[0].flows
    assert (flow.src, flow.dst) == (IPAddress("10.0.0.1"), IPAddress("10.0.0.2"))
    assert IPAddress("10.9.9.9") in running.posted[0].host


def test_nothing_more_is_read_before_what_was_found_is_judged(running):
    running.know("10.0.0.1", "10.0.0.2")
    for _ in range(2):
        running.flows.look(frozenset({"10.0.0.1"}))
    wait_until(lambda: running.posted, 5, "the first is posted")
    assert len(running.posted) == 1
    running.posted[0].judged.set()
    wait_until(lambda: len(running.posted) == 2, 5, "the second is posted")


def test_what_is_to_be_cut_is_gone_and_the_rest_stays(running):
    running.know("10.0.0.1", "10.0.0.2")
    running.know("10.0.0.1", "10.0.0.3")
    running.flows.look(frozenset({"10.0.0.2"}))
    wait_until(lambda: running.posted, 5, "something is posted")
    running.flows.cut(running.posted[0].flows)
    running.posted[0].judged.set()
    wait_until(lambda: "10.0.0.2" not in running.known(), 5, "it is cut")
    assert "10.0.0.3" in running.known()


def test_what_belongs_to_nobody_any_more_is_forgotten(running):
    running.know("10.0.0.1", "10.0.0.2")
    running.know("fd80::1", "fd80::2")
    running.flows.forget(frozenset({"10.0.0.1", "fd80::2"}))
    wait_until(lambda: not running.known(), 5, "all is forgotten")
    assert running.posted == []


def test_nobody_is_looked_at_for_nothing(running):
    running.flows.look(frozenset())
    running.flows.forget(frozenset())
    running.flows.cut([])
    assert running.flows.idle
