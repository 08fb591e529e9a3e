"""Two BIRDs with our configuration in two namespaces of this machine, joined by one cable."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import pytest
from netaddr import IPAddress, IPNetwork

from calico_ctl.bgp import bird as bgp_bird
from calico_ctl.bgp import sessions
from calico_ctl.bgp.bird import Config
from calico_ctl.dataplane.bird import Bird
from calico_ctl.errors import CommandFailed
from calico_ctl.model.node import Node
from tests.support import command, netns
from tests.support.netns import NetNs

GOLDEN = sorted((Path(__file__).parents[2] / "golden").glob("bird*.conf"))

NODES = tuple(Node(f"h{n}", IPAddress(f"10.99.7.{n}"), IPAddress(f"fd99:7::{n}")) for n in (1, 2))
POOLS = (IPNetwork("10.65.0.0/16"), IPNetwork("fd80:7::/64"))


@dataclass
class Router:
    node: Node
    namespace: NetNs
    bird: Bird
    directory: Path
    process: Popen[bytes] | None = None

    def configure(self, *pools: IPNetwork) -> bool:
        assert self.node.ipv4 is not None
        config = Config(
            ipv4=self.node.ipv4,
            ipv6=self.node.ipv6,
            as_number=64511,
            pools=pools,
            sessions=tuple(sessions.mesh(NODES, self.node, 64511)),
        )
        return self.bird.configure(bgp_bird.render(config))

    def start(self, *options: str) -> None:
        argv = [*command.DIES_WITH_US, "bird", "-f", *options]
        argv += ["-c", str(self.directory / "bird.conf"), "-s", str(self.directory / "bird.ctl")]
        with self.namespace.entered():
            self.process = command.spawn(argv, self.directory / "log")

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None:
            command.stop(self.process, number)

    def learned(self) -> set[str]:
        """The prefixes that BIRD put into the kernel."""
        shown = [
            self.namespace.run(["ip", "-j", family, "route", "show", "proto", "bird"]).out
            for family in ("-4", "-6")
        ]
        return {route["dst"] for text in shown for route in json.loads(text or "[]")}

    def container(self, name: str, *addresses: str) -> None:
        """What the agent does for a container: an interface of ours, routes of its own protocol."""
        link = ["ip", "link", "add", name, "type", "veth", "peer", "name", f"p{name}"]
        self.namespace.run(link)
        for end in (name, f"p{name}"):
            self.namespace.run(["ip", "link", "set", end, "up"])
        for address in addresses:
            family = "-6" if ":" in address else "-4"
            route = ["ip", family, "route", "add", address, "dev", name, "proto", "80"]
            self.namespace.run(route + (["scope", "link"] if family == "-4" else []))


@pytest.fixture
def routers(tmp_path: Path) -> Iterator[tuple[Router, Router]]:
    with netns.private_netns() as left, netns.private_netns() as right:
        peer = ["peer", "name", "cable", "netns", str(right.pid)]
        left.run(["ip", "link", "add", "cable", "type", "veth", *peer])
        made = tuple(
            _router(node, namespace, tmp_path / node.host)
            for node, namespace in zip(NODES, (left, right), strict=True)
        )
        try:
            for router in made:
                router.configure(*POOLS)
                router.start()
            yield made[0], made[1]
        finally:
            for router in made:
                router.stop()


def _router(node: Node, namespace: NetNs, directory: Path) -> Router:
    directory.mkdir()
    namespace.run(["ip", "link", "set", "cable", "up"])
    namespace.run(["ip", "addr", "add", f"{node.ipv4}/24", "dev", "cable"])
    namespace.run(["ip", "addr", "add", f"{node.ipv6}/64", "dev", "cable", "nodad"])
    # A default route, as hosts have: a peer's address must not be resolved through it.
    namespace.run(["ip", "route", "add", "default", "via", "10.99.7.254", "dev", "cable"])
    bird = Bird(str(directory / "bird.conf"), str(directory / "bird.ctl"))
    return Router(node, namespace, bird, directory)


def eventually(condition: Callable[[], bool], what: str, seconds: float = 15) -> float:
    started = time.monotonic()
    command.wait_until(condition, seconds, what)
    return time.monotonic() - started


def up(router: Router) -> bool:
    return len([each for each in router.bird.sessions() or () if each.established]) == 2


def both_up(routers: tuple[Router, Router]) -> None:
    seconds = eventually(lambda: all(up(each) for each in routers), "all sessions are up")
    print(f"sessions up after {seconds:.1f} s")


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name)
def test_bird_accepts_the_configurations_that_were_reviewed(path):
    command.run(["bird", "-p", "-c", str(path)])


def test_routes_to_containers_in_pools_reach_the_other_host_and_no_others_do(routers):
    one, two = routers
    both_up(routers)
    one.container("caliaaa", "10.65.0.5/32", "fd80:7::5/128", "172.31.0.5/32")
    seconds = eventually(
        lambda: two.learned() == {"10.65.0.5", "fd80:7::5"}, "the routes are there"
    )
    print(f"routes after {seconds * 1000:.0f} ms")
    # A network of the host inside a pool is not announced, nor is somebody else's route.
    one.container("other0", "10.65.0.6/32")
    one.namespace.run(["ip", "addr", "add", "10.65.9.1/24", "dev", "other0"])
    one.container("calibbb", "10.65.0.7/32")
    eventually(lambda: "10.65.0.7" in two.learned(), "the later route is there")
    assert two.learned() == {"10.65.0.5", "10.65.0.7", "fd80:7::5"}
    # What was learned from the kernel does not go back into it.
    assert one.learned() == set()
    shown = two.namespace.run(["ip", "route", "show", "10.65.0.5"]).out
    assert "via 10.99.7.1 dev cable" in shown
    assert "src 10.99.7.2" in shown


def test_a_route_to_a_container_that_left_goes_away(routers):
    one, two = routers
    both_up(routers)
    one.container("caliaaa", "10.65.0.5/32")
    eventually(lambda: two.learned() == {"10.65.0.5"}, "the route is there")
    one.namespace.run(["ip", "link", "del", "caliaaa"])
    eventually(lambda: two.learned() == set(), "the route is gone")


def test_a_local_container_wins_over_a_peer_that_claims_its_address(routers):
    one, two = routers
    both_up(routers)
    one.container("caliaaa", "10.65.0.5/32")
    eventually(lambda: two.learned() == {"10.65.0.5"}, "the route is there")
    two.container("calibbb", "10.65.0.5/32")
    eventually(lambda: two.learned() == set(), "the foreign route is gone")
    assert one.learned() == set()


def test_a_new_pool_brings_its_routes_and_keeps_the_sessions(routers):
    one, two = routers
    one.container("caliaaa", "10.66.0.5/32")
    both_up(routers)
    before = two.bird.sessions()
    assert two.learned() == set()
    for router in routers:
        assert router.configure(*POOLS, IPNetwork("10.66.0.0/16"))
        assert not router.configure(*POOLS, IPNetwork("10.66.0.0/16"))
    eventually(lambda: two.learned() == {"10.66.0.5"}, "the route is there")
    assert two.bird.sessions() == before


def test_a_bird_that_is_killed_and_comes_back_loses_no_route(routers):
    one, two = routers
    both_up(routers)
    one.container("caliaaa", "10.65.0.5/32")
    two.container("calibbb", "10.65.0.6/32")
    eventually(lambda: two.learned() == {"10.65.0.5"}, "one way")
    eventually(lambda: one.learned() == {"10.65.0.6"}, "the other way")
    changes = two.directory / "changes"
    with two.namespace.entered():
        watch = command.spawn([*command.DIES_WITH_US, "ip", "-4", "monitor", "route"], changes)
    try:
        one.stop(signal.SIGKILL)
        one.start("-R")
        eventually(lambda: up(one) and up(two), "sessions are back")
        time.sleep(1)
        assert one.learned() == {"10.65.0.6"}
        assert "10.65." not in changes.read_text()
    finally:
        command.stop(watch)


def test_a_configuration_that_bird_refuses_replaces_nothing(routers):
    one, _ = routers
    before = (one.directory / "bird.conf").read_text()
    with pytest.raises(CommandFailed, match="syntax error"):
        one.bird.configure("router id nonsense;\n")
    assert (one.directory / "bird.conf").read_text() == before
