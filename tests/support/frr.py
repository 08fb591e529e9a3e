"""FRR, the suite that many routers run BGP with, in a network namespace."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen

from tests.support import command
from tests.support.netns import NetNs

PATIENCE = 30.0

_DAEMONS = ("zebra", "bgpd")

_SCRIPT = """\
# What they leave behind when they are killed is gone with them.
mount -t tmpfs none /var/tmp
for daemon in {daemons}; do
  file=$1/$daemon
  /usr/lib/frr/$daemon -u root -g frrvty -f $file.conf -i $file.pid -P 0 \\
    -z $1/zserv.api --vty_socket $1 --log stdout --log-level debugging &
done
wait
"""
"""FRR's own user may not look into the directories of tests; root in the group of its sockets may.

Each daemon gives up what its starter said about its death when it changes its user, so they have a
namespace of processes, which ends with the first one in it.
"""


_CONFIGURATION = """\
frr defaults datacenter
router bgp {as_number}
 bgp router-id {router_id}
 no bgp ebgp-requires-policy
 no bgp default ipv4-unicast
 no bgp network import-check
"""
_NEIGHBOUR = """\
 neighbor {address} remote-as 64511
 neighbor {address} password {password}
 neighbor {address} timers connect 1
"""
_FAMILY = """\
 address-family ipv{version} unicast
{lines}\
 exit-address-family
"""


def configuration(
    router_id: str,
    as_number: int,
    networks: Iterable[str],
    neighbours: Iterable[str],
    password: str,
) -> str:
    """What a router says that announces networks and a default route to hosts of AS 64511."""
    text = _CONFIGURATION.format(as_number=as_number, router_id=router_id)
    lines: dict[int, list[str]] = {4: [], 6: []}
    for network in networks:
        lines[6 if ":" in network else 4].append(f"network {network}")
    for address in neighbours:
        text += _NEIGHBOUR.format(address=address, password=password)
        of_family = lines[6 if ":" in address else 4]
        of_family += [f"neighbor {address} {what}" for what in ("activate", "default-originate")]
    return text + "".join(
        _FAMILY.format(version=version, lines="".join(f"  {line}\n" for line in lines[version]))
        for version in lines
    )


@dataclass
class Frr:
    """A router with FRR's zebra and bgpd."""

    namespace: NetNs
    directory: Path
    process: Popen[bytes] | None = field(default=None, repr=False)

    def start(self, configuration: str) -> None:
        """Start with bgpd's configuration; wait until both can be asked, and see what was read."""
        (self.directory / "zebra.conf").write_text("")
        (self.directory / "bgpd.conf").write_text(configuration)
        argv = [*command.DIES_WITH_US, "unshare", "--mount", "--pid", "--fork", "--kill-child"]
        script = _SCRIPT.format(daemons=" ".join(_DAEMONS))
        argv += ["sh", "-c", script, "frr", str(self.directory)]
        with self.namespace.entered():
            self.process = command.spawn(argv, self.directory / "log")
        command.wait_until(self._answers, PATIENCE, "FRR's daemons answer")
        assert "No such command" not in (self.directory / "log").read_text()

    def stop(self) -> None:
        """End it at once."""
        if self.process is not None:
            command.stop(self.process)
            self.process = None

    def ask(self, line: str) -> str:
        """What its shell prints for a command."""
        return command.run([*self._shell(), "-c", line], show="").out

    def routes(self) -> set[str]:
        """The prefixes that peers announce to it, in both families."""
        shown = [json.loads(self.ask(f"show bgp ipv{version} unicast json")) for version in (4, 6)]
        return {
            prefix
            for found in shown
            for prefix, ways in found["routes"].items()
            if any(way["path"] for way in ways)
        }

    def installed(self) -> set[str]:
        """Those of them that are in its kernel."""
        lines = [
            line
            for family in ("-4", "-6")
            for line in self.namespace.run(["ip", family, "route"], quiet=True).out.splitlines()
        ]
        return {line.split()[0] for line in lines if "proto bgp" in line}

    def _answers(self) -> bool:
        asked = [[*self._shell(), "-d", daemon, "-c", "show version"] for daemon in _DAEMONS]
        return all(command.run(argv, show="", check=False).code == 0 for argv in asked)

    def _shell(self) -> list[str]:
        return ["vtysh", "--vty_socket", str(self.directory)]
