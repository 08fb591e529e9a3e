"""Which API is spoken, as real servers let one find out."""

from pathlib import Path

import pytest

from calico_ctl.datastore import etcd_api
from calico_ctl.datastore.etcd_api import AnyEtcd
from calico_ctl.datastore.store import Delete, Put
from calico_ctl.errors import DatastoreError, DatastoreUnavailable
from tests.support.etcd_server import EtcdServer


def test_a_server_without_v2_is_spoken_to_by_v3(v3_server: EtcdServer) -> None:
    store = AnyEtcd(v3_server.settings())
    assert store.api.version == 3
    assert "no v2 API" in store.api.reason or "v3 store" in store.api.reason
    made = store.create("/any/a", "1")
    assert store.get("/any/a") == made
    swapped = store.swap(made, "2")
    put = store.put("/any/b", "1")
    assert store.tree("/any").entries == (swapped, put)
    assert [each.value for each in store.watch("/any", made.revision, 30)][:1] == ["2"]
    together = store.write_together([Put("/any/c", "1"), Delete("/any/b", put)])
    assert store.tree("/any").entries == (swapped, together["/any/c"])
    pages: list[int] = []
    leaves = store.leaves("/any", ("/any/a",), lambda number, _: pages.append(number))
    assert (list(leaves.entries), pages) == (["/any/c"], [0, 1])  # before what is left out, behind
    assert store.delete("/any")
    assert store.address == str(v3_server.authority) == store.member
    store.close()


def test_of_a_server_with_both_the_one_with_the_cluster_counts(own_server: EtcdServer) -> None:
    old, new = own_server.store(), own_server.store_v3()

    def chosen() -> int:
        store = AnyEtcd(own_server.settings())
        version = store.api.version
        store.close()
        return version

    assert chosen() == 2
    new.create("/calico/Ready", "true")
    assert chosen() == 3
    old.create("/calico/Ready", "true")
    with pytest.raises(DatastoreError, match="in its v2 store and in its v3 store") as caught:
        chosen()
    assert "ETCD_API=2 or ETCD_API=3" in caught.value.hint
    for api, version in (("2", 2), ("3", 3)):
        store = etcd_api.store(own_server.settings(), api)
        assert store.api.version == version
        assert "ETCD_API" in store.api.reason
        store.close()
    new.delete("/calico")
    assert chosen() == 2
    old.close()
    new.close()


def test_what_was_found_out_once_stays(own_server: EtcdServer) -> None:
    store, new = AnyEtcd(own_server.settings()), own_server.store_v3()
    store.put("/calico/a", "1")
    new.put("/calico/a", "other")
    entry = store.get("/calico/a")
    assert entry is not None
    assert (entry.value, store.api.version) == ("1", 2)
    store.close()
    new.close()


def test_an_etcd_that_was_away_is_looked_at_when_it_is_back(tmp_path: Path) -> None:
    server = EtcdServer(tmp_path, v2=False)
    store = AnyEtcd(server.settings())
    with pytest.raises(DatastoreUnavailable):
        store.get("/calico")
    server.start()
    try:
        assert store.get("/calico") is None
        assert store.api.version == 3
        store.close()
    finally:
        server.stop()
