"""Routers with a real BIRD, each in a network namespace, on one bridge.

A `Router` is a host of ours as far as BGP goes; `Plain` is anybody else's router. Time is given by
conditions only: BIRD says nothing of when it is done.
"""

import contextlib
import json
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen

from calico_ctl.bgp import bird as bgp_bird
from calico_ctl.bgp import topology
from calico_ctl.dataplane import bird as dataplane_bird
from calico_ctl.dataplane.bird import Bird, RouteCounts, SessionState
from calico_ctl.host import command as product_command
from tests.support import command, netns
from tests.support.netns import NetNs

PATIENCE = 30.0


def ipv4(number: int) -> str:
    """The IPv4 address of a router on the bridge."""
    return f"10.99.7.{number}"


def ipv6(number: int) -> str:
    """Its IPv6 address."""
    return f"fd99:7::{number}"


def host_keys(*numbers: int) -> dict[str, str]:
    """What etcd says about hosts `h<number>`: their addresses, and a pool of each family."""
    values = {
        "/calico/Ready": "true",
        "/calico/ipam/v4/pool/10.65.0.0-16": '{"cidr": "10.65.0.0/16"}',
        "/calico/ipam/v6/pool/fd80:7::-64": '{"cidr": "fd80:7::/64"}',
    }
    for number in numbers:
        directory = f"/calico/bgp/v1/host/h{number}"
        values[f"{directory}/ip_addr_v4"] = ipv4(number)
        values[f"{directory}/ip_addr_v6"] = ipv6(number)
    return values


@dataclass
class Plain:
    """A router that is none of ours: BIRD with a configuration that the test writes."""

    number: int
    namespace: NetNs
    directory: Path
    process: Popen[bytes] | None = field(default=None, repr=False)

    @property
    def socket(self) -> str:
        """Where its BIRD is asked."""
        return str(self.directory / "bird.ctl")

    def write(self, text: str) -> None:
        """Give its BIRD a configuration, also while it runs."""
        path = self.directory / "bird.conf"
        path.write_text(text)
        command.run(["bird", "-p", "-c", str(path)])
        if self.process is not None:
            # What it has taken in it may still be about to do.
            assert "Reconfig" in self.ask("configure")

    def start(self, *options: str) -> None:
        """Start BIRD; wait until it can be asked."""
        argv = [*command.DIES_WITH_US, "bird", "-f", *options]
        argv += ["-c", str(self.directory / "bird.conf"), "-s", self.socket]
        Path(self.socket).unlink(missing_ok=True)
        with self.namespace.entered():
            self.process = command.spawn(argv, self.directory / "log")
        command.wait_until(lambda: self.bird().sessions() is not None, PATIENCE, "BIRD answers")

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End BIRD."""
        if self.process is not None:
            command.stop(self.process, number)
            self.process = None

    def bird(self) -> Bird:
        """Its BIRD, to be asked."""
        return Bird(str(self.directory / "bird.conf"), self.socket)

    def ask(self, *words: str) -> str:
        """What birdc says."""
        return command.run(["birdc", "-s", self.socket, *words], show="").out

    def routes(self) -> set[str]:
        """The prefixes that its BIRD knows from BGP, in both families."""
        lines = self.ask("show", "route", "where", "source", "=", "RTS_BGP").splitlines()
        return {line.split()[0] for line in lines if line[:1].isdigit() or line[:2] == "fd"}

    def states(self) -> dict[str, SessionState]:
        """Its sessions by their names, with the counts of their routes."""
        shown = product_command.run(dataplane_bird.asking_for_sessions(self.socket))
        return {each.name: each for each in dataplane_bird.parse_sessions(shown)}

    def established(self) -> set[str]:
        """The names of its sessions that are up."""
        return {name for name, state in self.states().items() if state.established}

    def ups(self) -> int:
        """How often a session came up: not more often if none was made anew.

        The time since when BIRD says that a session is up may differ by a millisecond.
        """
        return (self.directory / "log").read_text().count("State changed to up")

    def counts(self, name: str) -> RouteCounts | None:
        """How many routes a session has."""
        return self.states()[name].routes


@dataclass
class Router(Plain):
    """A host of ours: its BIRD gets what the routing service makes of etcd's keys."""

    ours: Bird = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Remember what BIRD was given, as the service does."""
        self.ours = self.bird()

    def configure(self, values: Mapping[str, str]) -> bool:
        """Configure BIRD by keys of etcd; say whether that was a change."""
        seen = topology.read(values)
        assert not seen.problems, seen.problems
        config = topology.config(seen, f"h{self.number}")
        assert config is not None
        return self.ours.configure(bgp_bird.render(config))

    def learned(self) -> dict[str, str]:
        """What BIRD put into the kernel: prefix → next hop, or `blackhole`."""
        return {
            default if route["dst"] == "default" else route["dst"]: route.get("gateway")
            or route.get("type", "")
            for family, default in (("-4", "0.0.0.0/0"), ("-6", "::/0"))
            for route in self._shown(family)
        }

    def from_peers(self) -> set[str]:
        """The prefixes of those routes that lead somewhere."""
        return {prefix for prefix, hop in self.learned().items() if hop != "blackhole"}

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

    def _shown(self, family: str) -> list[dict[str, str]]:
        shown = self.namespace.run(["ip", "-j", family, "route", "show", "proto", "bird"]).out
        found: list[dict[str, str]] = json.loads(shown or "[]")
        return found


@dataclass
class Site:
    """The bridge and all that is on it."""

    directory: Path
    bridge: NetNs
    stack: contextlib.ExitStack

    def router(self, number: int) -> Router:
        """Add a host of ours; its BIRD is not started yet."""
        return Router(number, *self._plugged(number))

    def plain(self, number: int) -> Plain:
        """Add somebody else's router; its BIRD is not started yet."""
        return Plain(number, *self._plugged(number))

    def up(self, values: Mapping[str, str], *numbers: int) -> list[Router]:
        """Add hosts of ours, configure and start them."""
        made = [self.router(number) for number in numbers]
        for router in made:
            self.stack.callback(router.stop)
            router.configure(values)
            router.start()
        return made

    def _plugged(self, number: int) -> tuple[NetNs, Path]:
        namespace = self.stack.enter_context(netns.private_netns())
        port = f"port{number}"
        peer = ["peer", "name", "eth0", "netns", str(namespace.pid)]
        self.bridge.run(["ip", "link", "add", port, "type", "veth", *peer])
        self.bridge.run(["ip", "link", "set", port, "master", "bridge", "up"])
        namespace.run(
            ["ip", "-batch", "-"],
            stdin=f"link set eth0 up\naddr add {ipv4(number)}/24 dev eth0\n"
            f"addr add {ipv6(number)}/64 dev eth0 nodad\n"
            # As hosts have one: a peer's address must not be resolved through it.
            "route add default via 10.99.7.250 dev eth0\n",
        )
        directory = self.directory / f"router{number}"
        directory.mkdir()
        return namespace, directory


@contextlib.contextmanager
def site(directory: Path) -> Iterator[Site]:
    """A bridge to put routers on; all of them are gone afterwards."""
    with contextlib.ExitStack() as stack:
        bridge = stack.enter_context(netns.private_netns())
        # Snooping would hold back neighbour discovery until it has seen the routers' reports.
        bridge.run(
            ["ip", "-batch", "-"],
            stdin="link add bridge type bridge mcast_snooping 0\nlink set bridge up\n",
        )
        yield Site(directory, bridge, stack)


def eventually(condition: Callable[[], object], what: str) -> None:
    """Wait until the condition holds."""
    command.wait_until(condition, PATIENCE, what)
