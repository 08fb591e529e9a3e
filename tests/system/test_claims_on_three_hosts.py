"""Containers of three hosts that all want addresses at once, and claimers that are killed.

In the end etcd wants a password.
"""

import contextlib
import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest
from netaddr import IPNetwork

from calico_ctl.host import locks
from tests.support import cluster as calico
from tests.support import command, etcd_v2_users, leftovers, mesh
from tests.support.cluster import ETCD, Cluster
from tests.support.command import Result
from tests.support.host import Host
from tests.support.lab import Lab

# the longest may wait for many things, and the first one also for the hosts to be made
pytestmark = [pytest.mark.system, pytest.mark.timeout(1200)]

NAMES = [f"w{number}" for number in range(9)]
"""Containers that run on each host and have no network yet."""

WISHED, BY_DOCKER = "192.168.70.7", 23
"""What all want at once, and how many of them are containers that Docker is asked to make."""

SEED = 20150611
ROUNDS = ("add", "remove", "add")
CREATES = 4
"""How many containers each proxy is asked for while it dies."""

DOUBTS = (
    "cannot reach etcd",
    "no word in",
    "already has Calico networking",
    "is already in use by container",
)
"""What is said if an answer took too long, and then as long as what was begun is taken back."""

Waiting = Mapping[tuple[Host, str], str]
"""Containers without a network: their full ids."""


@dataclass(frozen=True)
class OwnEtcd(Cluster):
    """A cluster whose etcd is nobody's container, so that it may want a password."""

    login: dict[str, str] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, str]:
        """What each shell knows."""
        return {"ETCD_AUTHORITY": ETCD} | self.login

    def calicoctl(self, host: Host, line: str, *, check: bool = True, stdin: str = "") -> Result:
        """Run `calicoctl <line>` on a host, as the user that it has by now."""
        words = line.split()
        return host.calicoctl(*words, env=self.settings, check=check, stdin=stdin, timeout=900)


@pytest.fixture(scope="module")
def cluster() -> Iterator[OwnEtcd]:
    """Three nodes."""
    with Lab(3, node_image=True) as lab:
        cluster = OwnEtcd(lab.hosts)
        first, *_ = lab.hosts
        argv = ["etcd", f"--enable-v2={str(cluster.api == 2).lower()}", "--data-dir=/run/etcd"]
        argv += ["--listen-client-urls=http://0.0.0.0:2379"]
        first.spawn([*argv, f"--advertise-client-urls=http://{ETCD}"], "etcd.log")
        ask = f"curl -sS -m 30 http://{ETCD}/health"
        command.wait_until(
            lambda: '"health":"true"' in first.run(ask, check=False, quiet=True).out,
            60,
            "etcd is healthy",
        )
        calico.make_nodes(cluster, lab.hosts)
        yield cluster


@pytest.fixture(scope="module")
def waiting(cluster: OwnEtcd) -> Waiting:
    """Containers on each host that have no network yet."""
    start = "docker run -d --net=none --name $n busybox sleep 1d"
    line = f"for n in {' '.join(NAMES)}; do {start}; done"
    with ThreadPoolExecutor() as pool:
        ids = list(pool.map(lambda host: host.run(line).out.split(), cluster.hosts))
    return {
        (host, name): id_
        for host, those in zip(cluster.hosts, ids, strict=True)
        for name, id_ in zip(NAMES, those, strict=True)
    }


def test_of_fifty_that_want_one_address_at_once_one_gets_it_and_the_others_leave_nothing(
    cluster: OwnEtcd, waiting: Waiting
) -> None:
    """27 claim by calicoctl, all let go at one moment, and 23 by Docker, asked the next moment."""
    before = set(cluster.leaves("/calico"))
    with ThreadPoolExecutor(len(waiting) + BY_DOCKER) as pool, contextlib.ExitStack() as held:
        for (host, _), id_ in waiting.items():
            held.enter_context(locks.held(id_, disk(host, "locks")))
        # who wins is not to give up because the agent is slow: nobody would have won then
        adding = [
            pool.submit(add, cluster, host, name, WISHED, "--timeout=200") for host, name in waiting
        ]
        command.wait_until(lambda: all_stand_at_their_locks(waiting), 30, "all are about to claim")
        held.close()
        asked = [cluster.hosts[number % 3] for number in range(BY_DOCKER)]
        creating = [pool.submit(create, host, f"d{at}", WISHED) for at, host in enumerate(asked)]
        results = [each.result() for each in [*adding, *creating]]
    assert sorted(each.code == 0 for each in results) == [False] * 49 + [True]
    for each in results:
        assert each.code == 0 or f"address {WISHED} is already assigned to endpoint" in each.err

    ((key, endpoint),) = endpoints(cluster).items()
    assert endpoint["ipv4_nets"] == [f"{WISHED}/32"]
    assert claimed(cluster) == [WISHED]
    assert list(cluster.leaves("/calico/ipam/v2/handle")) == [
        f"/calico/ipam/v2/handle/{key.rpartition('/')[2]}"
    ]
    links = [link for host in cluster.hosts for link in leftovers.links(host)]
    assert links == ([f"link {endpoint['name']}"] if endpoint["state"] == "active" else [])
    winner = key.split("/")[6]
    made = on_all(cluster, "docker ps -aq --no-trunc --filter name=^d")
    assert made == [winner] * (winner not in waiting.values())
    assert half_done(cluster) == []
    said = cluster.calicoctl(cluster.hosts[0], "ipam check").out
    assert said == "nothing is wrong with the addresses\n"

    for (host, name), id_ in waiting.items():
        if id_ == winner:
            cluster.calicoctl(host, f"container remove {name}")
    on_all(cluster, "docker ps -aq --filter name=^d | xargs -r docker rm -f")
    command.wait_until(
        lambda: not set(cluster.leaves("/calico")) - before, 30, "nothing is left of the winner"
    )


def test_after_kills_at_random_moments_no_address_is_twice_and_none_stays_lost(
    cluster: OwnEtcd, waiting: Waiting
) -> None:
    """54 automatic claims and 27 removals by calicoctl, many of them killed; 12 claims by proxies.

    As many as take about ten seconds on two cores: each process is worth a tenth of a second of
    them, and the real integration test has more of the claims alone.
    """
    print(f"seed {SEED}")
    with ThreadPoolExecutor(4 * len(cluster.hosts)) as pool:
        shares = [(host, NAMES[first::3]) for host in cluster.hosts for first in range(3)]
        dying = [
            pool.submit(claim_and_die, cluster, host, names, Random(f"{SEED} {host.name} {names}"))
            for host, names in shares
        ]
        proxies = [
            pool.submit(proxy_dies, host, Random(f"{SEED} {host.name}")) for host in cluster.hosts
        ]
        ends = [end for each in dying for end in each.result()]
        for each in proxies:
            each.result()
    print(f"{ends.count('killed')} of {len(ends)} were killed; half done: {half_done(cluster)}")
    assert len(ends) == len(ROUNDS) * len(waiting)
    assert "killed" in ends
    command.wait_until(
        lambda: not half_done(cluster), 30, f"what broke off is taken back: {half_done(cluster)}"
    )
    fixed = cluster.calicoctl(cluster.hosts[0], "ipam check --fix --wait=1s")
    assert "Traceback" not in fixed.err
    checked = cluster.calicoctl(cluster.hosts[1], "ipam check").out
    assert checked == "nothing is wrong with the addresses\n"

    had = [ip_of(each) for each in endpoints(cluster).values()]
    assert sorted(had) == claimed(cluster)
    assert len(had) == len(set(had)) >= len(cluster.hosts)
    inside = addresses_inside(cluster, waiting)
    assert sorted(inside) == sorted(
        ip_of(each) for each in endpoints(cluster).values() if each["state"] == "active"
    )
    on_all(cluster, "docker ps -aq --filter ancestor=busybox | xargs docker rm -f")
    for host in cluster.hosts:
        calico.nothing_of_containers_left(cluster, host)


def test_three_hosts_work_with_an_etcd_that_wants_a_password(cluster: OwnEtcd) -> None:
    """Each request costs etcd a tenth of a second of a core, so there are few of them."""
    if cluster.api == 3:
        pytest.skip("test_etcd_v3.py has that")
    first, *_ = cluster.hosts
    cluster.calicoctl(first, f"profile add {mesh.PROFILE}")
    for host in cluster.hosts:
        cluster.run(host, mesh.name(host), "--net=none")
    etcd_v2_users.require_password(first, f"http://{ETCD}")
    refused = cluster.calicoctl(first, "pool show", check=False)
    assert refused.code == 1
    assert "ETCD_USERNAME" in refused.err
    password = first.directory / "password"
    password.write_text(f"{etcd_v2_users.PASSWORD}\n")
    password.chmod(0o600)
    cluster.login.update(ETCD_USERNAME=etcd_v2_users.USER, ETCD_PASSWORD_FILE=str(password))
    calico.make_nodes(cluster, cluster.hosts)

    def give_network(host: Host) -> None:
        # the agent hears of it from an etcd that has others to answer first
        line = f"container add {mesh.name(host)} {mesh.ipv4(host)} --timeout=600"
        cluster.calicoctl(host, line)
        cluster.calicoctl(host, f"container {mesh.name(host)} profile append {mesh.PROFILE}")

    with ThreadPoolExecutor() as pool:
        list(pool.map(give_network, cluster.hosts))
    for host in cluster.hosts:
        mesh.reaches(host, *(mesh.ipv4(other) for other in cluster.hosts if other is not host))


def add(cluster: OwnEtcd, host: Host, name: str, *words: str) -> Result:
    """Give a container an address, or be refused."""
    line = f"container add {name} {' '.join(words)}"
    return told(lambda: cluster.calicoctl(host, line, check=False))


def create(host: Host, name: str, wish: str) -> Result:
    """Make a container that wishes an address, or be refused."""
    return told(lambda: ask(host, name, wish))


def ask(host: Host, name: str, wish: str) -> Result:
    """Ask the host's proxy for a container that wishes an address."""
    line = f"docker create --name {name} -e CALICO_IP={wish} busybox sleep 1d"
    return host.run(f"DOCKER_HOST=localhost:2377 {line}", check=False)


def told(claim: Callable[[], Result]) -> Result:
    """Claim; once more if a machine that is too busy left it open whether that was done."""
    results: list[Result] = []

    def is_known() -> bool:
        results.append(claim())
        return not any(doubt in results[-1].err for doubt in DOUBTS)

    command.wait_until(is_known, 60, "it is known who has the address")
    return results[-1]


def claim_and_die(cluster: OwnEtcd, host: Host, names: list[str], chance: Random) -> list[str]:
    """Have calicoctl add and remove containers; say of each process how it ended.

    Many are killed before they are as old as the oldest became that was not.
    """
    ends: list[str] = []
    usual = 0.0
    for verb in ROUNDS:
        for name in names:
            argv = ["calicoctl", "container", verb, name, *["ipv4"] * (verb == "add")]
            began = time.monotonic()
            process = host.spawn(argv, f"{name}.log", cluster.settings)
            try:
                process.wait(usual * chance.uniform(0.1, 0.7) if ends else 600)
                usual = max(usual, time.monotonic() - began)
                ends.append("ended")
            except subprocess.TimeoutExpired:
                command.stop(process, signal.SIGKILL)
                ends.append("killed")
    return ends


def proxy_dies(host: Host, chance: Random) -> None:
    """Ask a host's proxy for containers, and kill it meanwhile."""
    path = "/run/calico/service/docker-proxy/supervise/pid"
    pid = host.docker("exec", "calico-node", "cat", path).out.strip()
    dying = host.spawn(["sh", "-c", f"sleep {chance.uniform(0, 2)}; kill -9 {pid}"], "kill.log")
    for number in range(CREATES):
        ask(host, f"d{number}", "auto")
    assert dying.wait(600) == 0


def all_stand_at_their_locks(waiting: Waiting) -> bool:
    """Whether somebody waits for the lock of each of these containers."""
    lines = Path("/proc/locks").read_text().splitlines()
    wanted = {line.split()[6].rpartition(":")[2] for line in lines if " -> " in line}
    there = [
        path for host in {host for host, _ in waiting} for path in disk(host, "locks").iterdir()
    ]
    return {str(path.stat().st_ino) for path in there} <= wanted


def disk(host: Host, name: str) -> Path:
    """A directory of ours on a host's disk."""
    return host.directory / "private/var/lib/calico" / name


def half_done(cluster: OwnEtcd) -> list[str]:
    """What processes were in the middle of, on all hosts."""
    return [path.name for host in cluster.hosts for path in disk(host, "intents").iterdir()]


def on_all(cluster: OwnEtcd, line: str) -> list[str]:
    """Run a shell line on all hosts; return what it printed, line by line."""
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda host: host.run(line), cluster.hosts))
    return [printed for each in results for printed in each.out.splitlines()]


def endpoints(cluster: OwnEtcd) -> dict[str, dict[str, Any]]:
    """All endpoints, by their keys."""
    leaves = cluster.leaves("/calico/host").items()
    return {key: json.loads(text) for key, text in leaves if "/endpoint/" in key}


def ip_of(endpoint: Mapping[str, Any]) -> str:
    """The only address of an endpoint."""
    (net,) = endpoint["ipv4_nets"]
    return str(net).removesuffix("/32")


def claimed(cluster: OwnEtcd) -> list[str]:
    """The addresses that are taken in etcd."""
    blocks = [json.loads(text) for text in cluster.leaves("/calico/ipam/v2/assignment").values()]
    return sorted(
        str(IPNetwork(each["cidr"])[at])
        for each in blocks
        for at, owner in enumerate(each["allocations"])
        if owner is not None
    )


def addresses_inside(cluster: OwnEtcd, waiting: Waiting) -> list[str]:
    """The addresses that containers have on their interfaces of ours."""
    pids = f"docker inspect -f '{{{{.State.Pid}}}}' {' '.join(NAMES)}"
    show = "nsenter -t $pid -n ip -o -4 addr show scope global"
    lines = on_all(cluster, f"for pid in $({pids}); do {show}; done")
    return [line.split()[3].removesuffix("/32") for line in lines]
