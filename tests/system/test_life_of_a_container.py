"""What becomes of an address while its container lives, through whichever door, on a real host."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support import cluster as calico
from tests.support import flow, leftovers, probes
from tests.support.cluster import Cluster
from tests.support.command import wait_until
from tests.support.flow import Flow
from tests.support.host import Host
from tests.support.lab import Lab

pytestmark = pytest.mark.system

ADDRESS = "192.168.1.5"
WISHES = ("--net=none", "-e", f"CALICO_IP={ADDRESS}", "-e", "CALICO_PROFILE=web")


@pytest.fixture(scope="module")
def cluster(lab1: Lab) -> Cluster:
    """One host with an etcd that speaks its v3 API only; most others have v2."""
    return calico.start(lab1, usual_api=3)


@pytest.fixture
def host(cluster: Cluster) -> Iterator[Host]:
    (host,) = cluster.hosts
    yield host
    calico.remove_containers(cluster, host)


def works(host: Host, address: str = ADDRESS) -> None:
    wait_until(
        lambda: probes.pings(host, probes.HOST_ITSELF, address), 15, f"{address} is reachable"
    )


def is_state(cluster: Cluster, host: Host, container: str, state: str) -> None:
    directory = f"/calico/host/{host.name}/workload/docker/{container}"

    def states() -> list[str]:
        return [json.loads(value)["state"] for value in cluster.leaves(directory).values()]

    wait_until(lambda: states() == [state], 10, f"the endpoint is {state}")


def talk_to_it(cluster: Cluster, host: Host) -> Flow:
    """Have another container of its profile talk to it; what was lost is told in the end."""
    wishes = ("--net=none", "-e", "CALICO_IP=auto", "-e", "CALICO_PROFILE=web")
    cluster.run(host, "client", *wishes)
    calico.talks(host, "client", ADDRESS)
    flow.answer(host, "web")
    return flow.start(host, "client", ADDRESS)


def all_is_well(cluster: Cluster, host: Host) -> None:
    """Wait until every service of the node works again."""
    wait_until(lambda: cluster.calicoctl(host, "status", check=False).code == 0, 30, "all is well")


def rules(host: Host) -> str:
    """All that the agent has put into the kernel to filter packets."""
    return host.run("nft list table inet calico", quiet=True).out


def shown_inside(host: Host, container: str) -> str:
    """What an interface is inside: its name, MAC and addresses."""
    link = json.loads(probes.run_in(host, container, ["ip", "-j", "addr", "show", "eth1"]).out)[0]
    return str((link["address"], [each["local"] for each in link["addr_info"]][:1]))


def test_a_container_made_around_the_proxy_gets_its_network(cluster: Cluster, host: Host) -> None:
    container = cluster.run(host, "web", *WISHES, "--hostname=www")
    works(host)
    endpoint = cluster.endpoint(host, container)
    assert endpoint["ipv4_nets"] == [f"{ADDRESS}/32"]
    assert endpoint["profile_id"] == "web"
    assert "/calico/policy/profile/web/rules" in cluster.leaves("/calico/policy")
    wait_until(
        lambda: f"{ADDRESS}\twww" in host.docker("exec", "web", "cat", "/etc/hosts").out,
        5,
        "it finds itself by its name",
    )
    assert host.docker("exec", "web", "ping", "-c1", "-W1", "www").code == 0
    assert "nameserver" in host.docker("exec", "web", "cat", "/etc/resolv.conf").out


def test_stopped_it_keeps_what_it_has_and_started_it_has_it_again(
    cluster: Cluster, host: Host
) -> None:
    container = cluster.run(host, "web", *WISHES)
    works(host)
    inside, endpoint = shown_inside(host, "web"), cluster.endpoint(host, container)
    assert endpoint["name"] in rules(host)
    for how in ("stop -t 0", "kill"):
        host.docker(*how.split(), "web")
        is_state(cluster, host, container, "inactive")
        wait_until(lambda: not leftovers.links(host), 5, "no interface is left")
        wait_until(
            lambda: not host.run("ip route show proto 80", quiet=True).out, 5, "no route is left"
        )
        wait_until(lambda: endpoint["name"] not in rules(host), 10, "no rule is left")
        cluster.run(host, "other", "--net=none")
        said = cluster.calicoctl(host, f"container add other {ADDRESS}", check=False)
        assert "already assigned" in said.err
        host.docker("rm", "-f", "other")
        host.docker("start", "web")
        works(host)
        assert cluster.endpoint(host, container) == endpoint
        assert shown_inside(host, "web") == inside
    host.docker("restart", "-t", "0", "web")
    works(host)
    is_state(cluster, host, container, "active")
    assert cluster.endpoint(host, container) == endpoint


def test_a_container_of_container_add_keeps_its_network_too(cluster: Cluster, host: Host) -> None:
    container = cluster.run(host, "web")
    cluster.calicoctl(host, f"container add web {ADDRESS} --interface=cal0")
    endpoint = cluster.endpoint(host, container)
    host.docker("restart", "-t", "0", "web")
    works(host)
    assert cluster.endpoint(host, container) == endpoint
    shown = probes.run_in(host, "web", ["ip", "-br", "addr", "show", "cal0"]).out
    assert f"{ADDRESS}/32" in shown
    routes = probes.run_in(host, "web", ["ip", "route"]).out
    assert "default via 10.99.0.1 dev cal0 \n" in routes


def test_extra_addresses_are_kept_too(cluster: Cluster, host: Host) -> None:
    container = cluster.run(host, "web", *WISHES)
    works(host)
    more, sixth = "192.168.1.6", "fd80:24e2:f998:72d6::6"
    cluster.calicoctl(host, f"container web ip add {more}")
    cluster.calicoctl(host, f"container web ip add {sixth}")
    endpoint = cluster.endpoint(host, container)
    assert endpoint["ipv4_nets"] == [f"{ADDRESS}/32", f"{more}/32"]
    for address in (ADDRESS, more, sixth):
        probes.answers(host, probes.HOST_ITSELF, address)
    host.docker("restart", "-t", "0", "web")
    for address in (ADDRESS, more, sixth):
        works(host, address)
    is_state(cluster, host, container, "active")
    assert cluster.endpoint(host, container) == endpoint
    for address in (more, sixth):
        cluster.calicoctl(host, f"container web ip remove {address}")
        assert not probes.pings(host, probes.HOST_ITSELF, address)
    probes.answers(host, probes.HOST_ITSELF, ADDRESS)
    assert len(calico.claims(cluster)) == 1


def test_one_that_ends_by_itself_and_goes_away_gives_everything_back(
    cluster: Cluster, host: Host
) -> None:
    for _ in range(5):
        host.docker("run", "--rm", *WISHES, "busybox", "true")
    calico.nothing_of_containers_left(cluster, host)


def test_renamed_and_paused_it_stays_as_it_is(cluster: Cluster, host: Host) -> None:
    container = cluster.run(host, "web", *WISHES)
    works(host)
    endpoint = cluster.endpoint(host, container)
    host.docker("rename", "web", "www")
    host.docker("pause", "www")
    host.docker("unpause", "www")
    works(host)
    assert cluster.endpoint(host, container) == endpoint


def test_crash_loops_leave_nothing(cluster: Cluster, host: Host) -> None:
    names = [f"crash{number}" for number in range(3)]
    until_told = ("sh", "-c", "until test -e /crash; do sleep 0.1; done; exit 1")
    wishes = ("--net=none", "-e", "CALICO_IP=auto", "--restart=always")
    containers = [
        host.docker("run", "-d", "--name", name, *wishes, "busybox", *until_told).out.strip()
        for name in names
    ]
    for name, container in zip(names, containers, strict=True):
        is_state(cluster, host, container, "active")
        host.docker("exec", name, "touch", "/crash")

    def restarts() -> int:
        line = ["inspect", "-f", "{{.RestartCount}}", *names]
        return sum(map(int, host.docker(*line).out.split()))

    wait_until(lambda: restarts() >= 12, 30, "they crash again and again")
    # Docker itself waits longer and longer: from now on they crash as fast as it starts them.
    host.docker("update", "--restart=no", *names)
    wait_until(lambda: states(host, names) == {"exited"}, 30, "Docker starts them no more")
    for container in containers:
        is_state(cluster, host, container, "inactive")
    before, keys = used(host), set(cluster.leaves("/calico"))
    exits, seconds = crash(host, names, rounds=12)
    print(f"{exits} exits in {seconds:.1f} s, {exits / seconds:.0f} per second")
    assert exits == 12 * len(names)
    assert len(calico.claims(cluster)) == len(names)
    wait_until(lambda: not leftovers.links(host), 30, "no interface is left")
    wait_until(lambda: cluster.leaves("/calico").keys() <= keys, 30, "no key is left in etcd")
    wait_until(
        lambda: used(host).is_like(before), 30, f"the service has given back what it had: {before}"
    )


def states(host: Host, names: list[str]) -> set[str]:
    return set(host.docker("inspect", "-f", "{{.State.Status}}", *names).out.split())


def crash(host: Host, names: list[str], rounds: int) -> tuple[int, float]:
    """Start containers that end at once; return how many exits Docker told of, in what time.

    The next round begins when all have ended: what runs is not started.
    """
    told = host.run(
        f"""
        since=$(date +%s.%N)
        docker events --since $since -f event=die -f image=busybox >/tmp/dies &
        events=$!
        for turn in $(seq {rounds}); do
            started=
            for name in {" ".join(names)}; do
                docker start $name >/dev/null &
                started="$started $!"
            done
            wait $started
            docker wait {" ".join(names)} >/dev/null
        done
        until=$(date +%s.%N)
        for look in $(seq 300); do
            test $(wc -l </tmp/dies) -ge {rounds * len(names)} && break
            sleep 0.1
        done
        kill $events
        echo $(wc -l </tmp/dies) $since $until
        """
    ).out
    exits, since, until = told.split()
    return int(exits), float(until) - float(since)


@dataclass(frozen=True)
class Used:
    """What the life-cycle service has of the host; memory in kB."""

    files: int
    threads: int
    memory: int

    def is_like(self, before: "Used") -> bool:
        """Whether that is as before, but for what it may be doing at the moment."""
        return (
            self.files < before.files + 15
            and self.threads <= before.threads
            and self.memory < before.memory + 16 * 1024
        )


def used(host: Host) -> Used:
    told = host.run(
        """
        pid=$(pgrep -of 'daemon lifecycle')
        ls /proc/$pid/fd | wc -l
        ls /proc/$pid/task | wc -l
        awk '/^VmRSS/ {print $2}' /proc/$pid/status
        """,
        quiet=True,
    ).out
    return Used(*map(int, told.split()))


def test_on_another_network_it_is_left_alone_and_status_says_so(
    cluster: Cluster, host: Host
) -> None:
    cluster.run(host, "web", "-e", f"CALICO_IP={ADDRESS}")
    wait_until(
        lambda: "instead of --net=none" in cluster.calicoctl(host, "status", check=False).out,
        10,
        "status says it",
    )
    assert leftovers.links(host) == []


def test_of_two_that_wish_one_address_the_second_is_told_of_until_the_first_goes(
    cluster: Cluster, host: Host
) -> None:
    cluster.run(host, "web", *WISHES)
    works(host)
    other = cluster.run(host, "other", *WISHES)
    wait_until(
        lambda: "already assigned" in cluster.calicoctl(host, "status", check=False).out,
        10,
        "status says it",
    )
    host.docker("rm", "-f", "web")
    wait_until(
        lambda: cluster.leaves(f"/calico/host/{host.name}/workload/docker/{other}"),
        40,
        "the other one gets it",
    )
    works(host)


def test_docker_restarted_without_live_restore(cluster: Cluster, host: Host) -> None:
    always = cluster.run(host, "web", *WISHES, "--restart=always")
    never = cluster.run(host, "never", "--net=none", "-e", "CALICO_IP=192.168.1.6")
    works(host)
    works(host, "192.168.1.6")
    host.stop_docker()
    host.start_docker()
    works(host)
    is_state(cluster, host, always, "active")
    is_state(cluster, host, never, "inactive")


def test_docker_restarted_with_live_restore_loses_no_packet(cluster: Cluster, host: Host) -> None:
    host.run("echo '{\"live-restore\": true}' >/etc/docker/daemon.json")
    host.run("kill -HUP $(cat /run/docker.pid)")
    wait_until(
        lambda: "true" in host.docker("info", "-f", "{{.LiveRestoreEnabled}}").out, 10, "it is on"
    )
    container = cluster.run(host, "web", *WISHES)
    works(host)
    endpoint = cluster.endpoint(host, container)
    talk = talk_to_it(cluster, host)
    host.stop_docker()
    host.start_docker()
    talk.goes_on()
    host.docker("restart", "calico-node")
    all_is_well(cluster, host)
    talk.goes_on()
    assert talk.lost() == []
    assert cluster.endpoint(host, container) == endpoint
    host.run("rm /etc/docker/daemon.json; kill -HUP $(cat /run/docker.pid)")
    host.docker("stop", "-t", "0", "web")
    is_state(cluster, host, container, "inactive")


def test_a_node_that_is_replaced_loses_no_packet(cluster: Cluster, host: Host) -> None:
    container = cluster.run(host, "web", *WISHES)
    works(host)
    endpoint = cluster.endpoint(host, container)
    node = host.docker("inspect", "-f", "{{.Id}}", "calico-node").out
    talk = talk_to_it(cluster, host)
    options = f"--ip={host.ip} --ip6={host.ip6} --with-etcd"
    cluster.calicoctl(host, f"node {options} --log-dir=/var/log/calico/other")
    assert host.docker("inspect", "-f", "{{.Id}}", "calico-node").out != node
    all_is_well(cluster, host)
    talk.goes_on()
    assert talk.lost() == []
    assert cluster.endpoint(host, container) == endpoint
    cluster.calicoctl(host, f"node {options}")


def test_after_a_power_cut_everything_comes_back_by_itself_and_what_is_gone_is_collected(
    cluster: Cluster, host: Host
) -> None:
    any_address = ("--net=none", "-e", "CALICO_IP=auto")
    always = cluster.run(host, "web", *WISHES, "--restart=always")
    never = cluster.run(host, "never", *any_address)
    gone = [cluster.run(host, "removed", *any_address)]
    gone.append(cluster.run(host, "ends", *any_address, "--rm"))
    works(host)
    endpoint = cluster.endpoint(host, always)
    for each in (never, *gone):
        is_state(cluster, host, each, "active")
    host.docker("stop", "calico-node")
    host.docker("rm", "-f", "removed")
    host.power_cycle()
    works(host)
    is_state(cluster, host, never, "inactive")
    is_state(cluster, host, always, "active")
    assert cluster.endpoint(host, always) == endpoint

    def known() -> set[str]:
        keys = cluster.leaves(f"/calico/host/{host.name}/workload/docker")
        return {key.split("/")[6] for key in keys}

    wait_until(lambda: known() == {always, never}, 60, "what is gone is collected", every=0.5)
    assert len(calico.claims(cluster)) == 2
    assert cluster.endpoint(host, always) == endpoint
    probes.answers(host, probes.HOST_ITSELF, ADDRESS)
