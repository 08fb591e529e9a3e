"""The main job, shown on two Docker hosts inside this machine.

Every command is printed as a person types it, with what it really answered, and every step is
checked: an exit code or a ping that is not as said ends the demo with an error.
"""

import contextlib
import io
import os
import sys
import time
from collections.abc import Iterator

from tests.support import lab, leftovers
from tests.support.command import Result, clean_environment, wait_until
from tests.support.host import NAMESPACES, Host
from tests.support.lab import Lab

ETCD = "10.99.0.1:2379"
WEB, CLIENT = "192.168.1.1", "192.168.1.2"
PROXY = "docker -H localhost:2377"
PAGE = "sh -c 'echo hello from web >/var/www/index.html; exec httpd -f -h /var/www'"

PING = f"docker exec client ping -c 1 -W 1 {WEB}"
FETCH = f"docker exec client timeout 2 wget -q -O - http://{WEB}/"
SETTLES = 20.0
"""Seconds for BGP to find the other host, or for an agent to carry out a change."""


class DemoError(Exception):
    """A step did not go as the demo says."""


def title(text: str) -> None:
    """Open a chapter."""
    print(f"\n\033[1m# {text}\033[0m" if sys.stdout.isatty() else f"\n# {text}", flush=True)


def typed(host: Host, line: str, *, works: bool = True) -> Result:
    """Run a line in a host, printed as a person types it, and check that it works (or does not)."""
    print(f"{host.name}$ {line}", flush=True)
    result = host.run(line.removeprefix("sudo "), check=False, quiet=True, timeout=120)
    print(result.out + result.err, end="", flush=True)
    if (result.code == 0) != works:
        expected = "0" if works else "a failure"
        raise DemoError(f"`{line}` ended with {result.code}, expected {expected}")
    return result


def traffic(host: Host, line: str, *, works: bool) -> None:
    """Show that traffic passes or does not, once the network has settled on it."""

    def settled() -> bool:
        return (host.run(line, check=False, quiet=True).code == 0) == works

    wait_until(settled, SETTLES, f"`{line}` {'works' if works else 'is stopped'}", every=0.2)
    typed(host, line, works=works)
    if not works:
        print("  (stopped, as it should be)")


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keep the preparations to themselves, unless they fail."""
    kept = io.StringIO()
    try:
        with contextlib.redirect_stdout(kept):
            yield
    except BaseException:
        print(kept.getvalue())
        raise


def show_routing(hosts: list[Host], ctl1: str, ctl2: str) -> None:
    """Go from two bare Docker hosts to containers that reach each other."""
    host1, host2 = hosts

    title("A node on each host; the first also runs a one-member etcd")
    typed(host1, f"{ctl1} node --ip={host1.ip} --with-etcd")
    typed(host2, f"{ctl2} node --ip={host2.ip}")

    title("Docker starts a container with an address and a profile, through the node's proxy")
    asked = f"-e CALICO_IP={WEB} -e CALICO_PROFILE=web"
    typed(host1, f"{PROXY} run {asked} -td --name web busybox")
    typed(host1, f"{PROXY} inspect -f '{{{{.NetworkSettings.IPAddress}}}}' web")
    typed(host1, f"{PROXY} exec -d web {PAGE}")

    title("On the other host, one that runs already gets an address beside Docker's own network")
    typed(host2, "docker run -d --name client busybox sleep 1d")
    typed(host2, f"{ctl2} container add client {CLIENT}")

    title("Without a profile nothing may pass")
    traffic(host2, PING, works=False)

    title("With the same profile they reach each other, routed from host to host")
    typed(host2, f"{ctl2} container client profile append web")
    traffic(host2, PING, works=True)
    traffic(host2, FETCH, works=True)
    typed(host2, f"ip route get {WEB}")


def show_policy(hosts: list[Host], ctl1: str, ctl2: str) -> None:
    """Go on to access rules that real packets obey."""
    host1, host2 = hosts

    title("A profile of its own shuts the client out")
    typed(host2, f"{ctl2} profile add client")
    typed(host2, f"{ctl2} container client profile set client")
    traffic(host2, PING, works=False)
    traffic(host2, FETCH, works=False)

    title("A rule opens port 80, and only that")
    typed(host1, f"{ctl1} profile web rule add inbound allow tcp to ports 80")
    traffic(host2, FETCH, works=True)
    traffic(host2, PING, works=False)

    title("A rule in front of it blocks; taken away, the port is open again")
    typed(host1, f"{ctl1} profile web rule add inbound --at=1 deny from tag client")
    traffic(host2, FETCH, works=False)
    typed(host1, f"{ctl1} profile web rule show")
    typed(host1, f"{ctl1} profile web rule remove inbound --at=1")
    traffic(host2, FETCH, works=True)

    title("What there is now")
    typed(host1, f"{ctl1} profile web rule show")
    typed(host1, f"{ctl1} endpoint show --detailed")


def clean_up(hosts: list[Host], ctl1: str, ctl2: str) -> None:
    """Take everything away again, and prove that nothing is left."""
    host1, host2 = hosts
    title("Clean-up leaves nothing: no interface, route, rule, key or container")
    typed(host1, f"{PROXY} rm -f web")
    typed(host2, f"{ctl2} container remove client")
    typed(host2, "docker rm -f client")
    typed(host2, f"{ctl2} node stop")
    left = leftovers.keys(host1, ETCD, "/calico/host/host2")
    typed(host1, f"{ctl1} node stop")
    for host in hosts:
        typed(host, "ip -br link; ip route; nft list tables; docker ps -a")
        left += [f"{host.name}: {line}" for line in leftovers.on_host(host)]
    if left:
        raise DemoError("left behind: " + "; ".join(left))


def demo(keep: bool) -> None:
    """Bring up the hosts, show everything, and take them down (or keep them)."""
    began = time.monotonic()
    title("Two Docker hosts, host1 and host2, are started in namespaces of this machine")
    with contextlib.ExitStack() as stack:
        with silence():
            hosts = stack.enter_context(made := Lab(2, node_image=True, survives=keep)).hosts
        if keep:
            made.keep()
        ctl1, ctl2 = "sudo calicoctl", f"sudo ETCD_AUTHORITY={ETCD} calicoctl"
        show_routing(hosts, ctl1, ctl2)
        show_policy(hosts, ctl1, ctl2)
        if not keep:
            clean_up(hosts, ctl1, ctl2)
    if keep:
        title("The hosts stay up")
        print("enter one:       sudo scripts/demo enter host1    (there: calicoctl, docker, ip, …)")
        print(f"take them down:  sudo scripts/demo clean {made.name}")
    print(f"\nAll as it should be ({time.monotonic() - began:.0f} s).")


def enter(name: str) -> None:
    """Become a shell in a host that was kept."""
    pid = lab.kept_hosts().get(name)
    if pid is None:
        raise DemoError(f"no host `{name}` was kept; there are: {', '.join(lab.kept_hosts())}")
    environment = clean_environment({"PS1": f"{name}# ", "ETCD_AUTHORITY": ETCD})
    environment["PATH"] = f"/run/lab/bin:{environment['PATH']}"
    argv = ["nsenter", "--target", str(pid), *NAMESPACES, "--", "sh"]
    os.execvpe("nsenter", argv, environment)  # the shell takes this process's place


def main(argv: list[str]) -> int:
    """Do what is asked; an error is one line and exit code 1."""
    try:
        if argv[0] == "enter":
            enter(argv[1] if len(argv) > 1 else "host1")
        elif argv[0] == "clean":
            removed = lab.remove_kept(*argv[1:2])
            print("\n".join(f"removed {name}" for name in removed) or "nothing was kept")
        else:
            demo(keep=os.environ.get("KEEP", "") not in {"", "0"})
    except (DemoError, AssertionError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
