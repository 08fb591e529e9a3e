"""What broke off is taken back while the daemon runs."""

import threading

from netaddr import IPAddress

from calico_ctl.daemons import lifecycle
from calico_ctl.daemons.runtime import Runtime
from calico_ctl.errors import CalicoError
from calico_ctl.host import intents
from calico_ctl.workload import attach
from calico_ctl.workload.attach import Attachment
from calico_ctl.workload.workload import Workload
from tests.support.machine import CONTAINER, Machine


def test_an_abandoned_intent_is_carried_out_and_a_failure_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(intents, "DIRECTORY", tmp_path)
    machine = Machine()
    web = Workload("docker", CONTAINER, "web", "/proc/42/ns/net")
    attach.attach(machine, Attachment(web, (IPAddress("192.168.1.5"),)))
    (interface,) = machine.network.plugged.values()
    (endpoint_id,) = [
        key.rpartition("/")[2]
        for key in (entry.key for entry in machine.store.tree("/calico/host").entries)
        if "/endpoint/" in key
    ]
    assert interface.host_name.endswith(endpoint_id[:11])
    (tmp_path / endpoint_id).write_text(f'["host1", "docker", "{CONTAINER}", "{endpoint_id}"]')

    failures = [ConnectionError]
    runtime = Runtime()

    def sometimes(verb: str, key: str) -> None:
        if verb == "delete" and failures:
            failures.pop()
            raise CalicoError("etcd is away")

    machine.store.before = sometimes
    runtime.tick_every(0.01)
    watchdog = threading.Timer(10, runtime.stopping.set)
    watchdog.start()
    for _ in lifecycle.turns(machine, runtime):
        if not list(tmp_path.iterdir()):
            runtime.stopping.set()
    watchdog.cancel()
    assert failures == []
    assert machine.left() == []


def test_the_daemon_stops_when_it_is_told_to(tmp_path, monkeypatch):
    monkeypatch.setattr(intents, "DIRECTORY", tmp_path)
    runtime = Runtime()
    runtime.stopping.set()
    assert list(lifecycle.turns(Machine(), runtime)) == []
