"""Two hosts with our configuration in a mesh, in two namespaces of this machine."""

import signal
from functools import partial
from pathlib import Path

import pytest

from calico_ctl.errors import CommandFailed
from tests.support import command
from tests.support.routers import Router, Site, eventually, host_keys

GOLDEN = sorted((Path(__file__).parents[2] / "golden").glob("bird*.conf"))

VALUES = host_keys(1, 2)
POOL_66 = {"/calico/ipam/v4/pool/10.66.0.0-16": '{"cidr": "10.66.0.0/16"}'}
BLOCKS = {
    "/calico/ipam/v2/host/h1/ipv4/block/10.65.0.0-26": "",
    "/calico/ipam/v2/host/h1/ipv6/block/fd80:7::-122": "",
}


@pytest.fixture
def routers(site: Site) -> tuple[Router, Router]:
    one, two = site.up(VALUES, 1, 2)
    return one, two


def both_up(routers: tuple[Router, Router]) -> None:
    eventually(lambda: all(len(each.established()) == 2 for each in routers), "sessions are up")


def test_bird_accepts_the_configurations_that_were_reviewed():
    assert GOLDEN
    for path in GOLDEN:
        command.run(["bird", "-p", "-c", str(path)])


def test_routes_to_containers_in_pools_reach_the_other_host_and_no_others_do(routers):
    one, two = routers
    both_up(routers)
    one.container("caliaaa", "10.65.0.5/32", "fd80:7::5/128", "172.31.0.5/32")
    eventually(lambda: two.from_peers() == {"10.65.0.5", "fd80:7::5"}, "the routes are there")
    # A network of the host inside a pool is not announced, nor is somebody else's route.
    one.container("other0", "10.65.0.6/32")
    one.namespace.run(["ip", "addr", "add", "10.65.9.1/24", "dev", "other0"])
    one.container("calibbb", "10.65.0.7/32")
    eventually(lambda: "10.65.0.7" in two.from_peers(), "the later route is there")
    assert two.from_peers() == {"10.65.0.5", "10.65.0.7", "fd80:7::5"}
    # What was learned from the kernel does not go back into it.
    assert one.learned() == {}
    shown = two.namespace.run(["ip", "route", "show", "10.65.0.5"]).out
    assert "via 10.99.7.1 dev eth0" in shown
    assert "src 10.99.7.2" in shown
    counts = two.counts("Mesh_10_99_7_1")
    assert counts is not None
    assert (counts.received, counts.exported, counts.preferred) == (2, 0, 2)
    # A local container wins over a peer that claims its address.
    two.container("caliccc", "10.65.0.5/32")
    eventually(lambda: "10.65.0.5" not in two.from_peers(), "the foreign route is gone")
    assert one.learned() == {}
    # The route to a container that left goes away.
    one.namespace.run(["ip", "link", "del", "calibbb"])
    eventually(lambda: two.from_peers() == {"fd80:7::5"}, "the route is gone")


def test_blocks_are_announced_as_one_and_borrowed_addresses_by_themselves(routers):
    one, two = routers
    one.container("caliaaa", "10.65.0.5/32", "fd80:7::5/128")
    both_up(routers)
    eventually(lambda: two.from_peers() == {"10.65.0.5", "fd80:7::5"}, "single addresses")
    before = two.ups()
    for router in routers:
        router.configure(VALUES | BLOCKS)
    eventually(lambda: two.from_peers() == {"10.65.0.0/26", "fd80:7::/122"}, "whole blocks")
    # The container is reached by its own route, nobody's address ends here.
    dropped = {"10.65.0.0/26": "blackhole", "fd80:7::/122": "blackhole"}
    eventually(lambda: one.learned() == dropped, "both are in the kernel of their host")
    got = one.namespace.run(["ip", "route", "get", "10.65.0.5"]).out
    assert "dev caliaaa" in got
    # An address of this block that is another host's, and an address of nobody's block.
    two.container("calibbb", "10.65.0.9/32", "fd80:7::9/128")
    one.container("caliccc", "10.65.3.3/32")
    eventually(lambda: one.from_peers() == {"10.65.0.9", "fd80:7::9"}, "what was lent")
    eventually(lambda: "10.65.3.3" in two.from_peers(), "what was borrowed")
    # Without its pool a block is nothing.
    without = {key: value for key, value in (VALUES | BLOCKS).items() if "pool/10.65" not in key}
    for router in routers:
        router.configure(without)
    eventually(lambda: two.from_peers() == {"fd80:7::/122"}, "the pool's routes are gone")
    left = {"fd80:7::/122": "blackhole", "fd80:7::9": "fd99:7::2"}
    eventually(lambda: one.learned() == left, "on its host as well")
    assert two.ups() == before


def test_a_new_pool_brings_its_routes_and_keeps_the_sessions(routers):
    one, two = routers
    one.container("caliaaa", "10.66.0.5/32")
    both_up(routers)
    before = two.ups()
    assert two.learned() == {}
    for router in routers:
        assert router.configure(VALUES | POOL_66)
        assert not router.configure(VALUES | POOL_66)
    eventually(lambda: two.from_peers() == {"10.66.0.5"}, "the route is there")
    assert two.ups() == before
    assert len(two.established()) == 2


def test_a_bird_that_is_killed_and_comes_back_loses_no_route(routers):
    one, two = routers
    for router in routers:
        router.configure(VALUES | BLOCKS)
    both_up(routers)
    one.container("caliaaa", "10.65.0.5/32", "10.65.1.5/32")
    two.container("calibbb", "10.65.2.6/32")
    wanted = {"10.65.0.0/26", "fd80:7::/122", "10.65.1.5"}
    eventually(lambda: two.from_peers() == wanted, "one way")
    eventually(lambda: one.from_peers() == {"10.65.2.6"}, "the other way")
    changes = two.directory / "changes"
    with two.namespace.entered():
        watch = command.spawn([*command.DIES_WITH_US, "ip", "-4", "monitor", "route"], changes)
    try:
        eventually(partial(_is_seen, two, changes), "the monitor sees changes")
        one.stop(signal.SIGKILL)
        assert one.learned()["10.65.0.0/26"] == "blackhole"
        one.start("-R")
        both_up(routers)
        # What came in before a later route came in before it.
        one.container("caliccc", "10.65.1.7/32")
        eventually(lambda: "10.65.1.7" in changes.read_text(), "the later route is there")
        assert one.from_peers() == {"10.65.2.6"}
        for prefix in ("10.65.0.0", "10.65.1.5"):
            assert prefix not in changes.read_text()
    finally:
        command.stop(watch)


def _is_seen(router: Router, changes: Path) -> bool:
    """Change a route that nobody needs; say whether some such change was seen."""
    for verb in ("add", "del"):
        router.namespace.run(["ip", "route", verb, "192.0.2.1/32", "dev", "eth0"], quiet=True)
    return "192.0.2.1" in changes.read_text()


def test_a_configuration_that_bird_refuses_replaces_nothing(routers):
    one, _ = routers
    path = one.directory / "bird.conf"
    before = path.read_text()
    with pytest.raises(CommandFailed, match="syntax error"):
        one.ours.configure("router id nonsense;\n")
    assert path.read_text() == before
    # Passwords of peers are in there.
    assert path.stat().st_mode & 0o777 == 0o600
