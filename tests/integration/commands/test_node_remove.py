"""`calicoctl node remove` on a real etcd, with real processes."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
from netaddr import IPAddress

from calico_ctl.datastore import addresses, endpoints, nodes, status
from calico_ctl.datastore.etcd import Etcd, EtcdSettings
from calico_ctl.datastore.status import AgentStatus
from calico_ctl.model.endpoint import DOCKER, Endpoint, EndpointKey, State
from calico_ctl.model.node import Node

pytestmark = pytest.mark.integration


@pytest.fixture
def store(etcd):
    """An etcd that knows h1 and h2, each with an endpoint that has two addresses."""
    store = Etcd(EtcdSettings("127.0.0.1", etcd.port, connect_timeout=30.0, timeout=30.0))
    for number in (1, 2):
        host, name = f"h{number}", f"web{number}"
        nodes.register(store, Node(host, IPAddress(f"172.16.0.{number}")))
        ips = tuple(IPAddress(f"192.168.{number}.{last}") for last in (5, 200))
        for ip in ips:
            addresses.claim(store, host, ip, name, Random(1))
        key = EndpointKey(host, DOCKER, str(number) * 64, name)
        endpoints.create(store, Endpoint(key, State.ACTIVE, f"cali{name}", None, addresses=ips))
    yield store
    store.close()


def mentioning(etcd, *texts: str) -> list[str]:
    found = etcd.keys().items()
    return sorted(key for key, value in found if any(text in f"{key} {value}" for text in texts))


def test_a_host_goes_with_all_that_it_had_and_the_other_stays(store, shell, etcd) -> None:
    before = mentioning(etcd, "h1", "web1")
    assert shell.done("node remove h2") == "removed host h2 (1 endpoint, 2 addresses)\n"
    assert mentioning(etcd, "h2", "web2") == []
    assert mentioning(etcd, "h1", "web1") == before
    assert "is not assigned" in shell.refused("ipam info 192.168.2.200")
    shown = json.loads(shell.done("endpoint show --output=json"))["items"]
    assert {each["hostname"] for each in shown} == {"h1"}
    refused = shell.refused("node remove h2")
    assert "host h2 does not exist" in refused
    assert "etcd knows h1" in refused
    assert shell.done("ipam check --wait=0") == "nothing is wrong with the addresses\n"


def test_a_host_that_reports_and_this_one_are_removed_only_by_force(store, shell, etcd) -> None:
    status.write_agent(store, "h2", AgentStatus("now"), ttl=3600)
    nodes.register(store, Node(socket.gethostname(), IPAddress("172.16.0.3")))
    before = etcd.keys()
    assert "host h2 is alive" in shell.refused("node remove h2")
    assert "is this host" in shell.refused(f"node remove {socket.gethostname()}")
    assert etcd.keys() == before
    shell.done("node remove h2 --force")
    assert mentioning(etcd, "h2", "web2") == []


def test_what_is_no_host_removes_nothing(store, shell, etcd) -> None:
    before = etcd.keys()
    for name in ("''", "..", "h2?recursive=true"):
        assert "does not exist" in shell.refused(f"node remove --force {name}")
    assert etcd.keys() == before


def test_two_who_remove_a_host_at_once_do_not_harm_each_other(store, shell, etcd) -> None:
    with ThreadPoolExecutor() as pool:
        ended = list(pool.map(shell.run, ["node remove h2"] * 2))
    assert 0 in {each.exit for each in ended}
    for each in ended:
        assert each.exit == 0 or "host h2 does not exist" in each.err
    assert mentioning(etcd, "h2", "web2") == []
