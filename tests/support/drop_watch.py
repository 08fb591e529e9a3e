"""`calicoctl drops --follow` at work on a host with containers web and client."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import command, probes
from tests.support.cluster import ETCD
from tests.support.host import Host

WEB, CLIENT = "192.168.1.1", "192.168.1.2"
DENIED = "inbound rule 2 of profile web denies it"
"""What is told of a packet from client to port 81 of web."""

PATIENCE = 60


def watchers(host: Host) -> list[str]:
    """The tables of whoever looks at drops."""
    listed = host.run("nft list tables", quiet=True).out
    return [line for line in listed.splitlines() if "calico_watch" in line]


@dataclass
class Watch:
    """`drops --follow` at work on a host, and what it has said."""

    host: Host
    running: subprocess.Popen[bytes]
    log: Path

    def kill(self, signal: str) -> int:
        """Signal it; return the code that it ends with, once nothing of it is in the kernel."""
        self.host.run(f"kill -{signal} $(cat {self.log}.pid)")
        code = self.running.wait(PATIENCE)
        command.wait_until(lambda: not watchers(self.host), PATIENCE, "its table is gone")
        return code

    def told(self) -> list[dict[str, Any]]:
        """What was told so far of port 81; the last line may not be there as a whole."""
        *lines, _ = self.log.read_text().split("\n")
        items = [json.loads(line) for line in lines if line.startswith("{")]
        return [each for each in items if each["port"] == 81]

    def drop(self, client: Sequence[str]) -> dict[str, Any]:
        """Have packets to port 81 dropped until one is told; return what is told."""
        knock = [*client, *probes.ECHO, "probe", "tcp", WEB, "81"]

        def is_told() -> bool:
            assert self.host.run(knock, check=False).code != 0
            return bool(self.told())

        command.wait_until(is_told, PATIENCE, "the drop is told")
        return self.told()[0]


def watch(host: Host, name: str) -> Watch:
    """Start to look."""
    log = host.directory / f"{name}.log"
    script = f"echo $$ >{log}.pid; exec calicoctl drops --follow --output=json"
    running = host.spawn(["sh", "-c", script], log.name, {"ETCD_AUTHORITY": ETCD})
    command.wait_until(lambda: watchers(host), PATIENCE, "packets are traced")
    return Watch(host, running, log)
