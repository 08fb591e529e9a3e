"""What Calico leaves on a host: every list in here must be empty after `node stop`."""

from collections.abc import Callable

from tests.support.host import Host

OUR_PROTOCOLS = ("bird", "80", "81")
"""The marks on routes that BIRD, the agent and the routing service put into the kernel."""


def on_host(host: Host) -> list[str]:
    """Everything of Calico's that is on the host, one line each."""
    checks: list[Callable[[Host], list[str]]] = [links, tunnels, routes, firewall, containers]
    return [line for check in checks for line in check(host)]


def links(host: Host) -> list[str]:
    """Interfaces of ours: a container's host end, or one half made."""
    lines = _lines(host, "ip -o link")
    names = [line.split(": ")[1].split("@")[0] for line in lines]
    return [f"link {name}" for name in names if name.startswith(("cali", "tmp"))]


def tunnels(host: Host) -> list[str]:
    """Devices of tunnels."""
    return [f"link {line}" for line in _lines(host, "ip -o link show type vxlan")]


def routes(host: Host) -> list[str]:
    """Routes that BIRD or the agent made, in any table."""
    found = []
    for protocol in OUR_PROTOCOLS:
        for family in ("-4", "-6"):
            line = f"ip {family} route show table all proto {protocol}"
            found += [f"route {route}" for route in _lines(host, line)]
    return found


def firewall(host: Host) -> list[str]:
    """Our nftables table, and rules of ours among Docker's."""
    tables = _lines(host, "nft list tables | grep calico")
    rules = _lines(host, "iptables-save | grep cali; ip6tables-save | grep cali")
    return [*tables, *(f"iptables {rule}" for rule in rules)]


def containers(host: Host) -> list[str]:
    """Containers of ours, running or not."""
    line = "docker ps --all --filter name=^calico- --format '{{.Names}} ({{.Status}})'"
    return [f"container {name}" for name in _lines(host, line)]


def keys(host: Host, authority: str, below: str) -> list[str]:
    """Keys in etcd below a directory, such as this host's own."""
    url = f"http://{authority}/v2/keys{below}?recursive=true"
    answer = host.run(["curl", "-sS", "-L", "-m", "5", url], quiet=True).out
    return [] if '"errorCode":100' in answer else [f"keys {answer.strip()}"]


def _lines(host: Host, line: str) -> list[str]:
    return host.run(line, check=False, quiet=True).out.splitlines()
