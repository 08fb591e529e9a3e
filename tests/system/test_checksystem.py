"""checksystem on a Docker host that is no node: what is ready, what is not, and Swarm's port.

What `--fix` does to packets, with an engine that hangs or is away too, is in `finding_faults/`.
"""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support import command
from tests.support.command import Result
from tests.support.host import Host
from tests.support.lab import Lab

pytestmark = pytest.mark.system

PROBLEMS = {"warning", "failed"}
PROGRAM = (sys.executable, "-I", "-S")
SUPPORT = Path(__file__).parents[1] / "support"
PATIENCE = 60

ETCD = "127.0.0.1:4001"
"""Where an etcd is looked for if nobody says where it is."""

KINDS = {
    "veth": "type veth peer name other",
    "vxlan": "type vxlan id 1 dstport 4789",
    "ipip": "type ipip local 192.0.2.1 remote 192.0.2.2",
}


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with Lab(1) as lab:
        yield lab.hosts[0]


@pytest.fixture(scope="module")
def etcd(host: Host) -> str:
    """An etcd where it is looked for."""
    data = "/var/lib/calico/etcd"
    urls = [f"--listen-client-urls=http://{ETCD}", f"--advertise-client-urls=http://{ETCD}"]
    host.spawn(["etcd", "--enable-v2", f"--data-dir={data}", *urls], "etcd.log")
    answers(host, f"http://{ETCD}/v2/keys")
    return ETCD


def answers(host: Host, url: str) -> None:
    """Wait until somebody serves a page."""
    asked = f"curl -sS -f -m 10 {url}"
    command.wait_until(
        lambda: host.run(asked, check=False, quiet=True).code == 0, PATIENCE, f"{url} answers"
    )


def results(found: Result) -> dict[str, str]:
    return {each["name"]: each["result"] for each in json.loads(found.out)["items"]}


def checked(host: Host, *options: str, before: Sequence[str] = (), **settings: str) -> Result:
    """Run checksystem; the words `before` it decide how much it may, and what it sees."""
    argv = [*before, "calicoctl", "checksystem", "--output=json", *options]
    found = host.run(argv, env=settings, check=False)
    wrong = [each for each in json.loads(found.out)["items"] if each["result"] in PROBLEMS]
    # Whatever is wrong: each is said, with what to do, and what is grave shows in the exit code.
    assert all(each["complaint"] and each["hint"] for each in wrong)
    assert found.err.count("\nhint: ") == len(wrong)
    assert found.code == int("failed" in results(found).values()) == int("error: " in found.err)
    assert "this is a bug" not in found.err
    return found


def has(host: Host, kind: str) -> bool:
    """Whether the kernel makes links of a kind, as `ip` says itself."""
    line = f"unshare --net ip link add name tried {KINDS[kind]}"
    return host.run(line, check=False).code == 0


def test_a_stock_docker_host_has_all_but_an_etcd(host: Host):
    found = host.calicoctl("checksystem", "--output=json", check=False)
    ready = {"nftables", "conntrack", "veth", "ip_forward", "docker", "port179", "port2377"}
    said = results(found)
    assert {name for name in ready if said[name] != "ok"} == set()
    assert said["etcd"] == "failed"
    assert found.code == 1
    assert "cannot reach etcd at 127.0.0.1:4001" in found.err


def test_links_that_this_kernel_does_not_make_are_named_and_no_others(host: Host, etcd: str):
    found = checked(host)
    said = results(found)
    for kind, grave in (("veth", True), ("vxlan", False), ("ipip", False)):
        there = has(host, kind)
        assert said[kind] == ("ok" if there else "failed" if grave else "warning")
        assert (f"this kernel makes no links of type {kind}: " in found.err) == (not there)
        assert (f"`modprobe {kind}` if it is a module" in found.err) == (not there)
    for kind, other in (("vxlan", "ipip"), ("ipip", "vxlan")):
        leave = f"hint: leave it if no pool is to have --{kind} (--{other} does the same); "
        assert (leave in found.err) == (said[kind] == "warning")


def test_with_an_etcd_it_can_be_a_node(host: Host, etcd: str):
    found = checked(host)
    assert found.code == 0
    less = {kind: "warning" for kind in KINDS if not has(host, kind)}
    if host.run("sysctl -n net.ipv6.conf.all.forwarding").out == "0\n":
        less["forwarding6"] = "warning"  # a stock Docker needs IPv4 only
    assert results(found) == dict.fromkeys(results(found), "ok") | less


def test_a_kernel_without_netfilter_is_named(host: Host, etcd: str):
    found = checked(host, before=[*PROGRAM, str(SUPPORT / "lacking.py")])
    said = results(found)
    assert said | {"nftables": "failed", "conntrack": "failed", "veth": "ok"} == said
    assert said | {"docker": "ok", "etcd": "ok", "clock": "ok", "routing": "ok"} == said
    assert re.search(
        r"error: this kernel cannot hold the policy's table: .*: protocol not supported\n"
        r"hint: use Linux 5\.10 or later with CONFIG_NF_TABLES, .*`modprobe nf_tables` if",
        found.err,
    )
    assert re.search(
        r"error: this kernel does not tell its connections: .*: protocol not supported\n"
        r"hint: use a kernel with CONFIG_NF_CONNTRACK ",
        found.err,
    )


ON_THE_HOST = "hint: run it on the host itself: root lacks the capability NET_ADMIN here"
LACKING = [
    ("net_admin", ("nftables", "conntrack", "veth"), ON_THE_HOST),
    (
        "sys_admin",
        ("nftables", "conntrack", "veth", "routing", "vxlan", "ipip"),
        "error: cannot make a network namespace: Operation not permitted\n"
        "hint: run it as root on the host itself: ",
    ),
    (
        "net_bind_service",
        ("port179",),
        "error: nobody can listen on 0.0.0.0:179: Permission denied\nhint: ports up to 1023 ",
    ),
]


@pytest.mark.parametrize(("capability", "failed", "said"), LACKING)
def test_root_without_a_capability_is_not_told_to_change_the_kernel(
    host: Host, etcd: str, capability: str, failed: tuple[str, ...], said: str
):
    less = ["setpriv", f"--bounding-set=-{capability}", f"--inh-caps=-{capability}"]
    found = checked(host, before=less)
    assert {name for name, each in results(found).items() if each == "failed"} == set(failed)
    assert found.err.count(said) >= 1
    assert "use a kernel with" not in found.err or capability == "net_bind_service"
    assert "use Linux" not in found.err


READ_ONLY = 'mount --bind -o ro /proc/sys /proc/sys && exec "$@"'


@pytest.fixture
def asked(host: Host) -> Iterator[Path]:
    """A file with what modprobe was asked to load; it loads nothing, modules are the machine's."""
    file = Path("/run/lab/asked")
    script = f"#!/bin/sh\necho $1 >>{file}\nexit 1\n"
    host.run("cat >/run/lab/bin/modprobe; chmod +x /run/lab/bin/modprobe", stdin=script)
    yield file
    host.run(f"rm -f /run/lab/bin/modprobe {file}")


def test_settings_that_cannot_be_written_are_named_and_fix_says_that_it_cannot(
    host: Host, etcd: str, asked: Path
):
    apart = ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh"]
    said = "cannot write 1 to /proc/sys/net/ipv4/ip_forward: Read-only file system"
    host.run("sysctl -qw net.ipv4.ip_forward=0")
    try:
        found, fixed = checked(host, before=apart), checked(host, "--fix", before=apart)
        assert host.run("sysctl -n net.ipv4.ip_forward").out == "0\n"
        missing = {kind for kind in KINDS if not has(host, kind)}
        assert set(host.run(f"touch {asked}; cat {asked}").out.split()) == missing
        mended = checked(host, "--fix")
        again = checked(host, "--fix")
    finally:
        host.run("sysctl -qw net.ipv4.ip_forward=1")
    for each in (found, fixed):
        assert (results(each)["routing"], results(each)["ip_forward"]) == ("failed", "failed")
        assert "hint: run as root, with /proc/sys writable" in each.err
    assert f"net.ipv4.ip_forward is 0; --fix did not help: {said}\nhint: " in fixed.err
    assert "fixed: " not in fixed.err
    assert (mended.code, results(mended)["ip_forward"]) == (0, "fixed")
    assert set(results(again).values()) <= {"ok", "warning"}
    assert "forward" not in again.err


LISTEN = """
import socket, time
with socket.create_server(("0.0.0.0", 179)), socket.create_server(("127.0.0.1", 2377)):
    time.sleep(86400)
"""


def test_an_uplink_that_takes_less_and_ports_that_are_taken_are_named(host: Host):
    server = host.spawn([*PROGRAM, "-c", LISTEN], "listen.log")
    listing = "ss --no-header --listening --tcp --numeric 'sport = :2377'"
    host.run("ip link set eth0 mtu 1400")
    try:
        command.wait_until(lambda: host.run(listing, quiet=True).out, 10, "somebody listens")
        found = checked(host)
    finally:
        host.run("ip link set eth0 mtu 1500")
        command.stop(server)
    said = results(found)
    assert said | {"port179": "failed", "port2377": "failed", "mtu": "warning"} == said
    assert re.search(r"error: python\S* \(process \d+\) listens on port 179, ", found.err)
    assert re.search(r"error: python\S* \(process \d+\) listens on port 2377, ", found.err)
    assert "hint: name another one: calicoctl node --docker-proxy=127.0.0.1:2378" in found.err
    assert "warning: the MTU of the uplink eth0 is 1400, less than Ethernet's 1500" in found.err


def test_swarm_on_the_port_of_the_proxy_is_named(host: Host):
    host.docker("swarm", "init", "--advertise-addr", host.ip, timeout=240)
    try:
        found = checked(host)
    finally:
        host.docker("swarm", "leave", "--force", timeout=240)
    assert results(found)["port2377"] == "failed"
    assert "Docker Swarm's manager listens on 2377" in found.err
    assert "--docker-proxy=127.0.0.1:2378" in found.err


FRONT = "127.0.0.1:4002"
"""Where etcd seems to be on a machine whose clock is years off: its battery is empty."""


@pytest.mark.parametrize(("year", "word"), [(2000, "ahead of"), (2096, "behind")])
def test_a_clock_that_is_not_etcds_is_named_with_how_far_it_is_off(
    host: Host, etcd: str, year: int, word: str
):
    date = (r"(?i)(Date: \w+, \d\d \w+) \d{4}", rf"\1 {year}")
    server = host.spawn([*PROGRAM, str(SUPPORT / "front.py"), FRONT, etcd, *date], "front.log")
    try:
        answers(host, f"http://{FRONT}/version")
        found = checked(host, ETCD_AUTHORITY=FRONT)
    finally:
        command.stop(server)
    assert results(found) | {"etcd": "ok", "clock": "warning"} == results(found)
    skew = re.search(
        rf"warning: this machine's clock is (\d+) s {word} that of etcd at {FRONT}\n"
        "hint: set both with NTP",
        found.err,
    )
    assert skew is not None
    assert int(skew[1]) > 300 * 86400
    assert found.code == 0


def test_an_engine_that_is_too_old_is_named(host: Host, etcd: str):
    old = "/run/old.sock"
    number = (r'"Version":"\d\d\.', '"Version":"19.')
    argv = [*PROGRAM, str(SUPPORT / "front.py"), old, "/run/docker.sock", *number]
    server = host.spawn(argv, "old.log")
    try:
        command.wait_until(
            lambda: host.run(f"test -S {old}", check=False, quiet=True).code == 0, PATIENCE, old
        )
        found = checked(host, DOCKER_HOST=f"unix://{old}")
    finally:
        command.stop(server)
    assert results(found) | {"docker": "failed", "port179": "ok"} == results(found)
    assert re.search(
        r"error: the Docker Engine is 19\.\S+, and 20\.10 is the oldest that is supported\n"
        "hint: install a later one\n",
        found.err,
    )
