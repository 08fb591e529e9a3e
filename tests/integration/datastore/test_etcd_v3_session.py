"""Users and TLS over etcd's v3 API: tokens that are renewed, and refusals in words."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from calico_ctl.datastore.etcd_requests import Forbidden
from calico_ctl.datastore.etcd_v3 import EtcdV3
from calico_ctl.datastore.etcd_v3_messages import coded
from tests.support import command
from tests.support.certificates import Certificates
from tests.support.etcd_server import EtcdServer, SecureEtcdServer

CALICO = {"username": "calico", "password": "sécret: 1"}

VERBS: tuple[Callable[[EtcdV3], object], ...] = (
    lambda store: store.get("/calico/a"),
    lambda store: store.tree("/calico"),
    lambda store: store.put("/calico/a", "1"),
    lambda store: store.create("/calico/new", "1"),
    lambda store: store.delete("/calico/new"),
    lambda store: store.watch("/calico", 1, 30),
)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """One that asks who is there, with tokens that live as long as usual."""
    server = EtcdServer(tmp_path_factory.mktemp("etcd"), v2=False)
    server.start()
    guard(server)
    yield server
    server.stop()


def guard(server: EtcdServer) -> None:
    """Give it users, of which `calico` may do all that begins with /calico."""
    right = {"permType": "READWRITE", "key": coded("/calico"), "range_end": coded("/calicp")}
    for path, wanted in (
        ("user/add", {"name": "root", "password": "r"}),
        ("role/add", {"name": "root"}),
        ("user/grant", {"user": "root", "role": "root"}),
        ("user/add", {"name": "calico", "password": CALICO["password"]}),
        ("role/add", {"name": "calico"}),
        ("role/grant", {"name": "calico", "perm": right}),
        ("user/grant", {"user": "calico", "role": "calico"}),
        ("enable", {}),
    ):
        said = server.ask_v3(f"auth/{path}", wanted)
        assert "header" in said, said


@contextmanager
def opened(server: EtcdServer, **changes: str) -> Iterator[EtcdV3]:
    store = EtcdV3(replace(server.settings(), **(CALICO | changes)))  # type: ignore[arg-type]
    try:
        yield store
    finally:
        store.close()


def test_with_a_password_every_verb_works(guarded: EtcdServer) -> None:
    with opened(guarded) as store:
        for verb in VERBS:
            verb(store)
        made = store.create("/calico/b", "1")
        assert store.swap(made, "2").value == "2"
        assert store.put("/calico/c", "1", ttl=300).value == "1"
        assert store.delete("/calico/b")


def test_tokens_that_etcd_has_forgotten_are_renewed_for_every_verb(guarded: EtcdServer) -> None:
    """As after some minutes, or a restart."""
    with opened(guarded) as store:
        for verb in VERBS:
            store.get("/calico/a")
            assert store._session._token
            store._session._token = "forgotten.1"
            verb(store)
            assert store._session._token != "forgotten.1"


def test_a_token_that_ran_out_is_renewed(tmp_path: Path) -> None:
    server = EtcdServer(tmp_path, v2=False)
    server.options = ("--auth-token-ttl=1",)
    server.start()
    guard(server)
    try:
        with opened(server) as store:
            store.put("/calico/a", "1")
            first = store._session._token
            assert first
            wanted = {"key": coded("/calico/a")}

            def ran_out() -> bool:
                return "invalid auth token" in str(server.ask_v3("kv/range", wanted, first))

            assert not ran_out()
            # Asked with more often than it ends, it would never end.
            command.wait_until(ran_out, 60, "the token runs out", every=2.5)
            assert store.put("/calico/a", "2").value == "2"
            assert store._session._token != first
    finally:
        server.stop()


def test_a_restart_costs_an_idle_store_nothing(guarded: EtcdServer) -> None:
    with opened(guarded) as store:
        store.put("/calico/a", "before")
        guarded.stop()
        guarded.start()
        assert store.put("/calico/a", "after").value == "after"


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"password": "wrong"}, "a wrong password and a missing right look alike"),
        ({"username": "nobody"}, "user nobody"),
        ({"username": ""}, "set ETCD_USERNAME and ETCD_PASSWORD_FILE"),
    ],
)
def test_who_is_not_let_in_is_told_what_it_may_be(guarded, changes, hint) -> None:
    with opened(guarded, **changes) as store:
        for verb in VERBS:
            with pytest.raises(Forbidden, match="insufficient credentials") as caught:
                verb(store)
            assert hint in caught.value.hint
            assert CALICO["password"] not in f"{caught.value} {caught.value.hint}"


def test_a_key_without_a_right_looks_the_same(guarded: EtcdServer) -> None:
    with opened(guarded) as store:
        with pytest.raises(Forbidden, match="refused /other/a: insufficient"):
            store.put("/other/a", "1")
        with pytest.raises(Forbidden):
            store.watch("/other", 1, 30)
        with pytest.raises(Forbidden):
            store.tree("/other")


def test_an_etcd_without_users_takes_a_password_that_nobody_needs(v3_server: EtcdServer) -> None:
    with opened(v3_server) as store:
        written = store.put("/calico-any/a", "1")
        assert store.get("/calico-any/a") == written
        assert store.watch("/calico-any", written.revision - 1, 30)
        store.delete("/calico-any")


def test_tls_is_spoken_as_for_the_v2_api(tmp_path: Path) -> None:
    server = SecureEtcdServer(tmp_path, Certificates(tmp_path))
    server.start()
    try:
        store = server.store_v3()
        made = store.create("/calico/a", "x" * 100_000)
        assert store.get("/calico/a") == made
        swapped = store.swap(made, "2")
        assert [each.value for each in store.watch("/calico", made.revision, 30)] == ["2"]
        assert not store.watch("/calico", swapped.revision, 0.1)
        assert store.tree("/calico").entries == (swapped,)
        store.close()
    finally:
        server.stop()
