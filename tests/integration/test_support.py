"""The parts of the test house that need no lab: etcd on loopback, private network namespaces."""

import subprocess
from pathlib import Path


def test_etcd_keeps_its_data_over_a_restart(etcd):
    etcd.request("PUT", "/v2/keys/calico/a/b", "x")
    etcd.kill()
    etcd.start()
    assert etcd.keys() == {"/calico/a/b": "x"}


def test_a_paused_etcd_answers_nothing_and_then_goes_on(etcd):
    etcd.pause()
    try:
        etcd.request("GET", "/health", timeout=2)
    except OSError:
        pass
    else:
        raise AssertionError("it answered")
    finally:
        etcd.resume()
    assert etcd.request("GET", "/health") == {"health": "true"}


def test_a_private_namespace_is_apart_and_empty(private_netns):
    links = subprocess.run(["ip", "-br", "link"], check=True, capture_output=True, text=True)
    assert links.stdout.split()[0] == "lo"
    assert len(links.stdout.splitlines()) == 1
    inside = Path("/proc/thread-self/ns/net").stat().st_ino
    assert inside == private_netns.path.stat().st_ino
