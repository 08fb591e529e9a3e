"""Real packets between two containers of one host, as the kernel has counted them."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace

import pytest
from netaddr import IPAddress

from calico_ctl.dataplane.counters import KernelCounters
from calico_ctl.dataplane.host_side import HostSide
from calico_ctl.dataplane.network import KernelNetwork
from calico_ctl.dataplane.table import KernelTable
from calico_ctl.errors import NotFound
from calico_ctl.model.address import Family
from calico_ctl.model.count import Count, Drops
from calico_ctl.model.endpoint import Endpoint
from calico_ctl.model.interface import Interface
from calico_ctl.model.rule import Direction
from tests.support import nft, states
from tests.support.netns import NetNs, private_netns
from tests.support.states import STATES

pytestmark = pytest.mark.integration

GATEWAYS = (IPAddress("10.99.0.1"), IPAddress("fd99::1"))
INBOUND, OUTBOUND = Direction.INBOUND, Direction.OUTBOUND

ECHO, ECHO6 = 20 + 8 + 56, 40 + 8 + 56
"""Bytes of one packet of `ping`: IP header, ICMP header, contents."""


@dataclass
class Wired:
    """A host with its table, and the containers `a` and `b` on it, both members of `web`."""

    table: KernelTable
    containers: dict[str, NetNs]
    endpoints: dict[str, Endpoint]

    def hold(self, rules: str) -> None:
        """Make the kernel hold these rules of `web` in a table that has counted nothing."""
        self.table.delete()
        self.table.rebuild(states.ruleset(self.contents(rules)))

    def contents(self, rules: str) -> dict[str, str]:
        """Return what etcd holds when `web` has these rules."""
        known = (states.endpoint(name) for name in self.containers)
        return dict(known) | states.profile("web", rules, "web")

    def ping(self, count: int, *options: str, family: Family = 4) -> bool:
        """Send so many echo requests from `a` to `b`; say whether they were answered."""
        (target,) = self.endpoints["b"].of_family(family)
        argv = ["ping", "-n", "-q", "-c", str(count), "-i", "0.01", "-W", "0.5", *options]
        return self.containers["a"].run([*argv, str(target)], check=False).code == 0


@pytest.fixture
def wired() -> Iterator[Wired]:
    with ExitStack() as stack:
        host = stack.enter_context(private_netns())
        containers = {name: stack.enter_context(private_netns()) for name in "ab"}
        stack.enter_context(host.entered())
        host.run(["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"])
        for gateway in GATEWAYS:
            host.run(["ip", "addr", "add", str(gateway), "dev", "lo"])
        endpoints = {name: plug(name, namespace) for name, namespace in containers.items()}
        side = stack.enter_context(closing(HostSide()))
        assert len(side.sync(endpoints.values())) == 2
        for container in containers.values():
            for gateway in GATEWAYS:
                # from now on it knows its way out, and asks nobody for it
                container.run(["ping", "-q", "-c", "1", "-i", "0.1", "-w", "5", str(gateway)])
        table = stack.enter_context(closing(KernelTable()))
        yield Wired(table, containers, endpoints)


def plug(name: str, container: NetNs) -> Endpoint:
    (made,) = states.desired(dict([states.endpoint(name)])).snapshot.endpoints.values()
    KernelNetwork().plug(
        Interface(
            host_name=made.name,
            netns=str(container.path),
            name="eth1",
            mac=made.mac or "",
            addresses=made.addresses,
            gateways=GATEWAYS,
        )
    )
    return replace(made, ipv4_gateway=GATEWAYS[0], ipv6_gateway=GATEWAYS[1])


def rules() -> dict[Direction, dict[int, list[Count]]]:
    found = KernelCounters().rules("web")
    return {d: {n: list(counts) for n, counts in found[d].items()} for d in Direction}


def test_every_packet_that_a_rule_denies_is_counted_with_its_bytes(wired: Wired) -> None:
    wired.hold('{"inbound": [{"action": "deny", "protocol": "icmp"}, {}], "outbound": [{}]}')
    assert not wired.ping(3)
    assert rules() == {
        INBOUND: {1: [Count(3, 3 * ECHO)], 2: [Count(0, 0)]},
        OUTBOUND: {1: [Count(3, 3 * ECHO)]},
    }
    assert KernelCounters().drops() == {"calia": Drops(), "calib": Drops(received=3)}


def test_of_a_connection_that_is_allowed_only_the_beginning_is_counted(wired: Wired) -> None:
    wired.hold('{"inbound": [{"protocol": "udp"}, {"protocol": "icmp"}], "outbound": [{}]}')
    # the answer comes before the next request, which then belongs to the connection
    assert wired.ping(3, "-i", "0.2")
    assert rules()[INBOUND] == {1: [Count(0, 0)], 2: [Count(1, ECHO)]}
    assert KernelCounters().drops() == {"calia": Drops(), "calib": Drops()}


def test_a_rule_about_both_families_counts_once_for_each(wired: Wired) -> None:
    wired.hold('{"inbound": [{"src_tag": "web", "action": "deny"}], "outbound": [{}]}')
    assert not wired.ping(2, family=4)
    assert not wired.ping(3, family=6)
    assert rules() == {
        INBOUND: {1: [Count(2, 2 * ECHO), Count(3, 3 * ECHO6)]},
        OUTBOUND: {1: [Count(5, 2 * ECHO + 3 * ECHO6)]},
    }


def test_what_no_rule_matches_is_counted_where_it_was_dropped(wired: Wired) -> None:
    wired.hold('{"inbound": [], "outbound": [{}]}')
    assert not wired.ping(2)
    assert KernelCounters().drops() == {"calia": Drops(), "calib": Drops(received=2)}
    wired.hold('{"inbound": [{}], "outbound": []}')
    assert not wired.ping(3)
    assert KernelCounters().drops() == {"calia": Drops(sent=3), "calib": Drops()}
    assert rules() == {INBOUND: {1: [Count(0, 0)]}, OUTBOUND: {}}


def test_a_table_that_is_mended_keeps_its_counts(wired: Wired) -> None:
    rules_of_web = '{"inbound": [{"action": "deny", "protocol": "icmp"}], "outbound": [{}]}'
    wired.hold(rules_of_web)
    assert not wired.ping(3)
    nft.apply("flush chain inet calico flt-fwd")
    wired.table.rebuild(states.ruleset(wired.contents(rules_of_web)))
    assert rules()[INBOUND] == {1: [Count(3, 3 * ECHO)]}
    assert KernelCounters().drops()["calib"] == Drops(received=3)
    assert not wired.ping(2)
    assert KernelCounters().drops()["calib"] == Drops(received=5)


def test_a_source_that_is_not_its_own_is_counted_as_spoofed(wired: Wired) -> None:
    wired.hold('{"inbound": [{}], "outbound": [{}]}')
    wired.containers["a"].run(["ip", "addr", "add", "10.65.0.200/32", "dev", "eth1"])
    assert not wired.ping(4, "-I", "10.65.0.200")
    assert KernelCounters().drops() == {"calia": Drops(spoofed=4), "calib": Drops()}
    assert rules() == {INBOUND: {1: [Count(0, 0)]}, OUTBOUND: {1: [Count(0, 0)]}}


def test_a_changed_profile_begins_anew_and_what_its_members_lost_is_kept(wired: Wired) -> None:
    before = wired.contents('{"inbound": [{"action": "deny"}], "outbound": [{}]}')
    after = wired.contents('{"inbound": [{"action": "deny"}, {}], "outbound": [{}]}')
    host = states.desired(before)
    host.take()
    wired.table.rebuild(host.table())
    assert not wired.ping(2)
    wired.table.take(states.walk(host, before, after))
    assert rules() == {
        INBOUND: {1: [Count(0, 0)], 2: [Count(0, 0)]},
        # nothing changed in this direction
        OUTBOUND: {1: [Count(2, 2 * ECHO)]},
    }
    assert KernelCounters().drops()["calib"] == Drops(received=2)


def test_a_profile_whose_rules_nobody_can_read_has_no_numbered_rule(wired: Wired) -> None:
    wired.hold("{nonsense")
    assert rules() == {INBOUND: {}, OUTBOUND: {}}


def test_without_a_table_that_is_said(private_netns: NetNs) -> None:
    for question in (KernelCounters().drops, lambda: KernelCounters().rules("web")):
        with pytest.raises(NotFound, match="has no nftables table inet calico") as caught:
            question()
        assert "calicoctl status" in caught.value.hint


def test_a_profile_that_no_endpoint_here_has_is_said_not_to_be_in_use(
    private_netns: NetNs,
) -> None:
    with closing(KernelTable()) as table:
        table.rebuild(states.ruleset(STATES["one endpoint"]))
    assert rules()[OUTBOUND] == {1: [Count()]}
    with pytest.raises(NotFound, match="profile db is not in use on this host"):
        KernelCounters().rules("db")


def test_a_table_of_the_same_name_in_another_family_is_none_of_ours(private_netns: NetNs) -> None:
    private_netns.run(["nft", "add", "table", "ip", "calico"])
    with pytest.raises(NotFound, match="has no nftables table"):
        KernelCounters().drops()
