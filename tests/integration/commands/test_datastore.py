"""Moving and saving a whole cluster, with both stores of a real etcd."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from calico_ctl.datastore import nodes, transfer
from calico_ctl.datastore.etcd import Etcd
from calico_ctl.datastore.etcd_v3 import EtcdV3
from calico_ctl.model.address import parse_ipv4
from calico_ctl.model.node import Node
from tests.support import etcd_server
from tests.support.etcd_server import EtcdServer
from tests.support.shell import Shell


@pytest.fixture
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """An etcd of its own: the shared one must stay without a v3 store."""
    server = EtcdServer(tmp_path_factory.mktemp("etcd"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def old(both: EtcdServer) -> Iterator[Etcd]:
    """The v2 store, with a cluster."""
    store = both.store()
    nodes.register(store, Node("host1", parse_ipv4("10.99.0.1", "test")))
    store.create("/calico/policy/profile/empty", None)
    yield store
    store.close()


@pytest.fixture
def new(both: EtcdServer) -> Iterator[EtcdV3]:
    store = both.store_v3()
    yield store
    store.close()


def test_a_cluster_moves_to_the_other_store_and_back(
    both: EtcdServer, old: Etcd, new: EtcdV3
) -> None:
    shell = Shell(str(both.authority))
    line = "datastore migrate --from=2 --to=3"
    shell.done("profile add web")
    dry = shell.done(f"{line} --dry-run")
    count = len(transfer.content(old))
    assert dry == f"would copy to the v3 store: {count} new, 0 changed, 0 removed\n"
    assert new.tree("/").entries == ()
    done = shell.run(line)
    assert done.exit == 0, done
    assert done.out == f"the v3 store holds the cluster now: {count} new, 0 changed, 0 removed\n"
    assert "ETCD_API=3 calicoctl node" in done.err
    assert transfer.content(new) == transfer.content(old)
    assert "nothing was copied" in shell.done(line)
    # both hold it, and who is asked without a word is the one that counts
    shell.done("profile add later")
    assert new.get("/calico/policy/profile/later") is not None
    assert old.get("/calico/policy/profile/later") is None
    assert shell.done("profile show --output=name", ETCD_API="2") == "empty\nweb\n"
    assert shell.done("profile show --output=name") == "empty\nlater\nweb\n"
    about_v2 = shell.run("status", ETCD_API="2").err
    assert f"the cluster has moved out of etcd's v2 store at {both.authority}" in about_v2
    shell.done("datastore migrate --from=3 --to=2")
    assert transfer.content(new) == transfer.content(old)
    assert shell.done("profile show --output=name") == "empty\nlater\nweb\n"


def test_a_move_that_is_killed_is_told_of_by_status_and_goes_on(
    both: EtcdServer, old: Etcd, new: EtcdV3
) -> None:
    etcd_server.write_fast(both, ((f"/calico/config/n{at}", "x") for at in range(400)))
    shell = Shell(str(both.authority))
    line = "datastore migrate --from=2 --to=3"
    ready = f"curl -s http://{both.authority}/v2/keys/calico/Ready"
    kill = f'"$@" & until {ready} | grep -q moving || ! kill -0 $!; do :; done; kill -KILL $!; wait'
    Shell(str(both.authority), before=("sh", "-c", kill, "sh")).run(line)
    assert len(transfer.content(new)) < len(transfer.content(old))
    about = f"the cluster is being moved out of etcd's v2 store at {both.authority}"
    assert about in shell.run("status", ETCD_API="2").err
    shell.done(line)
    assert transfer.content(new) == transfer.content(old)
    assert "moved out of" not in shell.run("status").err


def test_a_file_takes_a_cluster_to_another_etcd(
    both: EtcdServer, old: Etcd, new: EtcdV3, tmp_path: Path
) -> None:
    shell, file = Shell(str(both.authority)), tmp_path / "cluster.json"
    count = len(transfer.content(old))
    assert shell.done(f"datastore export {file}") == f"{count} keys are in {file}\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(json.loads(file.read_text())["items"]) == count
    assert "exists already" in shell.refused(f"datastore export {file}")
    new.delete("/calico")
    told = shell.done(f"datastore import {file}", ETCD_API="3")
    assert told == f"{count} keys of {file} were written, {count} are there\n"
    assert transfer.content(new) == transfer.content(old)
    refused = shell.refused("profile show")
    assert "in its v2 store and in its v3 store" in refused
    assert "ETCD_API=2 or ETCD_API=3" in refused
    new.put("/calico/policy/profile/web/rules", "{}")
    assert "holds something else" in shell.refused(f"datastore import {file}", ETCD_API="3")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("datastore migrate --from=2 --to=2", "both 2"),
        ("datastore migrate --from=1 --to=3", "invalid --from '1': expected 2 or 3"),
        ("datastore migrate --from=3 --to=2", "no /calico in the v3 store"),
        ("datastore export /nowhere/at/all", "cannot write to /nowhere/at"),
        (f"datastore export {'a' * 300}", "File name too long"),
        ("datastore import /nowhere", "cannot read /nowhere"),
        ("datastore import {file}", "what `calicoctl datastore export` writes"),
    ],
)
def test_what_cannot_be_done_is_said(
    both: EtcdServer, old: Etcd, tmp_path: Path, line: str, words: str
) -> None:
    file = tmp_path / "file"
    file.write_text("{}")
    assert words in Shell(str(both.authority)).refused(line.format(file=file))
    ready = old.get("/calico/Ready")
    assert ready is not None
    assert ready.value == "true"


def test_a_file_with_other_keys_is_refused_whole(both: EtcdServer, tmp_path: Path) -> None:
    file = tmp_path / "file"
    for key, value in (("/etc/passwd", "x"), ("/calico//a", "x"), ("/calico/a", 1), (1, "x")):
        good = {"key": "/calico/a", "value": "1"}
        file.write_text(json.dumps({"items": [good, {"key": key, "value": value}]}))
        told = Shell(str(both.authority)).refused(f"datastore import {file}")
        assert "expected a key below /calico" in told
    store = both.store()
    assert store.tree("/").entries == ()
    store.close()
