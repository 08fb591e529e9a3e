"""What a bundle holds: everything that was promised, each once, whatever does not answer."""

import json

from calico_ctl.diagnostics import bundle, plan
from calico_ctl.diagnostics.collector import Collector, collect
from calico_ctl.errors import CalicoError, DockerUnavailable
from tests.support.diagnosed import Diagnosed, FakeEngine

SECRET = "hunter2-s3cr3t"
PEER = "/calico/bgp/v1/global/peer_v4/10.0.0.9"


def collectors(machine: Diagnosed) -> dict[str, Collector]:
    made = plan.collectors(machine, "/nowhere")
    named = {each.name: each for each in made}
    assert len(named) == len(made)
    return named


def test_planning_asks_nobody_and_names_everything_once():
    broken = FakeEngine(fail=CalicoError("nobody was to ask"))
    names = collectors(Diagnosed(docker=broken)).keys()
    assert {
        *("system/kernel", "system/versions", "network/links", "network/addresses"),
        *("network/routes-ipv4", "network/routes-ipv6", "network/neighbours", "network/settings"),
        *("firewall/nftables", "firewall/iptables", "firewall/ip6tables"),
        *("network/conntrack-counts", "docker/info", "docker/inspect", "node/services"),
        *("node/bird.conf", "node/bird-protocols", "node/bird-routes", "agent/state"),
        *("etcd/calico", "logs", "checks"),
    } <= names


def test_every_collector_has_a_time_limit():
    assert all(0 < each.seconds <= 60 for each in collectors(Diagnosed()).values())


def test_the_store_is_written_out_without_its_secrets():
    machine = Diagnosed()
    machine.store.put("/calico/Ready", "true")
    machine.store.put(PEER, json.dumps({"ip": "10.0.0.9", "as_num": 1, "password": SECRET}))
    machine.store.put("/calico/config/bgp_secret", SECRET)
    machine.store.create("/calico/empty", None)
    found = collect([collectors(machine)["etcd/calico"]])
    text = found[0].evidence.files["etcd/calico"]
    assert "/calico/Ready (revision 1): true\n" in text
    assert '"as_num": 1' in text
    assert "/calico/empty/\n" in text
    assert SECRET not in text
    assert SECRET in found[0].evidence.secrets


def test_without_etcd_and_docker_the_rest_is_there_and_each_file_says_why():
    machine = Diagnosed(docker=FakeEngine(fail=DockerUnavailable("cannot reach the engine")))
    machine.store.fail_with = "connection refused"
    kept = {"etcd/calico", "docker/info", "node/services", "system/date"}
    found = collect([each for each in plan.collectors(machine, "/nowhere") if each.name in kept])
    failures = {each.name: each.failure for each in found}
    assert "connection refused" in failures["etcd/calico"]
    assert failures["docker/info"] == failures["node/services"] == "cannot reach the engine"
    assert failures["system/date"] == ""
    assert len(bundle.pack("d", found, []).items) == len(kept)
