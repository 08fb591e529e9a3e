"""Traffic from inside a container, each attempt bounded to about a second.

The container's network namespace is entered with the host's own programs: that is five times
faster than `docker exec`, and the image needs no tools.
"""

import sys
from pathlib import Path
from subprocess import Popen

from tests.support import command
from tests.support.host import Host

ECHO = [sys.executable, "-I", "-S", str(Path(__file__).with_name("echo.py"))]
HOST_ITSELF = ""
"""In place of a container's name: the traffic comes from (or goes to) the host."""


def inside(host: Host, container: str) -> list[str]:
    """The words in front of a program that put it into a container's network."""
    if container == HOST_ITSELF:
        return []
    return ["nsenter", "--target", str(host.container_pid(container)), "--net"]


def answers(host: Host, container: str, address: str) -> None:
    """Assert that echo requests are answered; on a busy machine the first reply may come late."""
    command.wait_until(
        lambda: pings(host, container, address), 5, f"{address} answers {container or host.name}"
    )


def pings(host: Host, container: str, address: str) -> bool:
    """Whether one echo request is answered."""
    argv = [*inside(host, container), "ping", "-n", "-c", "1", "-W", "1", address]
    return host.run(argv, check=False, timeout=60).code == 0


def reachable(host: Host, container: str, address: str, port: int, kind: str = "tcp") -> bool:
    """Whether an echo server (see `serve`) at that address and port answers."""
    argv = [*inside(host, container), *ECHO, "probe", kind, address, str(port)]
    return host.run(argv, check=False, timeout=60).code == 0


def serve(host: Host, container: str, port: int, kind: str = "tcp") -> Popen[bytes]:
    """Start an echo server in a container; it ends with the host, or with `command.stop`."""
    prefix = inside(host, container)
    server = host.spawn([*prefix, *ECHO, "serve", kind, str(port)], "echo.log")
    listing = [*prefix, "ss", "-Hln", f"--{kind}", f"sport = :{port}"]
    command.wait_until(
        lambda: host.run(listing, quiet=True).out, 5, f"the echo server listens on {kind} {port}"
    )
    return server


def run_in(host: Host, container: str, argv: list[str], check: bool = True) -> command.Result:
    """Run one of the host's programs in the container's network namespace (`ip addr`, …)."""
    return host.run([*inside(host, container), *argv], check=check)
