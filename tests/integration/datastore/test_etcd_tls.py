"""TLS and users: with a real etcd what works, and every way in which it does not, in words."""

import base64
import json
import select
import socket
import ssl
import struct
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from calico_ctl.datastore import etcd_tls
from calico_ctl.datastore.connection import Connection, TlsFailed
from calico_ctl.datastore.etcd import Etcd, EtcdSettings
from calico_ctl.errors import DatastoreError, DatastoreUnavailable, InvalidValue
from calico_ctl.model.etcd_access import EtcdTls
from tests.support import listeners
from tests.support.certificates import Certificates
from tests.support.etcd_server import EtcdServer, SecureEtcdServer

CALICO = {"username": "calico", "password": "sécret: 1"}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def secure(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[EtcdServer]:
    """An etcd that wants a certificate and a user; `calico` may use /calico and no more."""
    server = SecureEtcdServer(tmp_path_factory.mktemp("etcd"), certificates)
    server.start()
    anything = {"kv": {"read": ["/*"], "write": ["/*"]}}
    ours = {"kv": {"read": ["/calico*"], "write": ["/calico*"]}}
    auth(server, "users/root", {"user": "root", "password": "r"})
    auth(server, "roles/calico", {"role": "calico", "permissions": ours})
    user = {"user": "calico", "password": CALICO["password"], "roles": ["calico"]}
    auth(server, "users/calico", user)
    auth(server, "enable", None)
    auth(server, "roles/guest", {"role": "guest", "revoke": anything})
    yield server
    server.stop()


def auth(server: EtcdServer, path: str, body: object) -> None:
    assert server.tls is not None
    basic = base64.b64encode(b"root:r").decode()
    request = urllib.request.Request(
        f"https://{server.authority}/v2/auth/{path}",
        b"" if body is None else json.dumps(body).encode(),
        {"Authorization": f"Basic {basic}", "Content-Type": "application/json"},
        method="PUT",
    )
    context = etcd_tls.context(server.tls)
    with urllib.request.urlopen(request, timeout=30, context=context) as answer:
        assert answer.status in {200, 201}


@contextmanager
def opened(server: EtcdServer, **changes: object) -> Iterator[Etcd]:
    given = EtcdSettings(server.host, server.client_port, tls=server.tls, timeout=30)
    store = Etcd(replace(given, **(CALICO | changes)))  # type: ignore[arg-type]
    try:
        yield store
    finally:
        store.close()


def test_with_certificate_and_password_every_verb_works(secure: EtcdServer) -> None:
    with opened(secure) as store:
        made = store.create("/calico/a", "1")
        assert store.get("/calico/a") == made
        swapped = store.swap(made, "2")
        assert [each.value for each in store.watch("/calico", made.revision, 30)] == ["2"]
        assert not store.watch("/calico", swapped.revision, 0.1)
        assert store.put("/calico/b", "x" * 100_000, ttl=300).value == "x" * 100_000
        assert len(store.tree("/calico").entries) == 2
        assert store.delete("/calico/a", swapped)


def test_one_connection_serves_many_requests(
    secure: EtcdServer, connections: list[Connection]
) -> None:
    with opened(secure) as store:
        for _ in range(5):
            store.get("/calico/many")
    assert len(connections) == 1


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"password": "wrong"}, "a wrong password and a missing right look alike"),
        ({"username": "nobody"}, "user nobody"),
        ({"username": ""}, "set ETCD_USERNAME and ETCD_PASSWORD_FILE"),
    ],
)
def test_who_is_not_let_in_is_told_what_it_may_be(secure, changes, hint) -> None:
    verbs: tuple[Callable[[Etcd], object], ...] = (
        lambda store: store.get("/calico/a"),
        lambda store: store.tree("/calico"),
        lambda store: store.put("/calico/a", "1"),
        lambda store: store.create("/calico/a", "1"),
        lambda store: store.delete("/calico/a"),
        lambda store: store.watch("/calico", 1, 1),
    )
    with opened(secure, **changes) as store:
        for verb in verbs:
            with pytest.raises(DatastoreError, match="insufficient credentials") as caught:
                verb(store)
            assert hint in caught.value.hint
            assert CALICO["password"] not in f"{caught.value} {caught.value.hint}"


def test_a_key_without_a_right_looks_the_same(secure: EtcdServer) -> None:
    with opened(secure) as store, pytest.raises(DatastoreError, match="refused /other: insuff"):
        store.put("/other", "1")


@pytest.mark.parametrize(
    ("tls", "reason"),
    [
        (lambda pki: EtcdTls(pki.certificate("ca")), "certificate of ours"),
        (
            lambda pki: EtcdTls(
                pki.certificate("ca"), pki.certificate("stranger"), pki.key("stranger")
            ),
            "certificate of ours",
        ),
        (lambda pki: EtcdTls(pki.certificate("stranger")), "not signed by whom ETCD_CA_CERT_FILE"),
        (lambda _pki: EtcdTls(), "not signed by whom ETCD_CA_CERT_FILE"),
        (lambda _pki: None, "connection lost"),
    ],
    ids=["no certificate of ours", "a stranger's", "another authority", "the system's", "plain"],
)
def test_what_tls_does_not_like_is_said(secure, certificates, tls, reason) -> None:
    verbs: tuple[Callable[[Etcd], object], ...] = (
        lambda store: store.get("/calico/a"),
        lambda store: store.put("/calico/a", "1"),
    )
    for verb in verbs:
        with (
            opened(secure, tls=tls(certificates)) as store,
            pytest.raises((DatastoreUnavailable, DatastoreError)) as caught,
        ):
            verb(store)
        if tls(certificates) is not None:
            assert f"{secure.authority} (TLS: " in caught.value.message
            assert reason in caught.value.message


def test_the_authority_alone_is_enough_for_an_etcd_that_asks_for_no_more(certificates) -> None:
    with answering_once(certificates, "server") as port:
        store = Etcd(EtcdSettings("127.0.0.1", port, tls=EtcdTls(certificates.certificate("ca"))))
        assert store.get("/a") is None
        store.close()


def test_a_name_that_the_certificate_does_not_have_is_said(certificates) -> None:
    with answering_once(certificates, "client") as port:
        tls = EtcdTls(certificates.certificate("ca"))
        for host in ("127.0.0.1", "localhost"):
            with pytest.raises(DatastoreUnavailable, match="its certificate is another one's"):
                Etcd(EtcdSettings(host, port, tls=tls)).get("/a")


@contextmanager
def answering_once(certificates: Certificates, name: str) -> Iterator[int]:
    """A server with that certificate that asks clients for none, and knows no key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate(name), certificates.key(name))
    body = b'{"errorCode":100,"message":"Key not found","index":1}'
    head = b"HTTP/1.1 404 Not Found\r\nX-Etcd-Index: 1\r\nContent-Length: %d\r\n\r\n" % len(body)

    def answer(connected: socket.socket) -> None:
        with context.wrap_socket(connected, server_side=True) as connection:
            connection.recv(4096)
            connection.sendall(head + body)

    with listeners.serving(answer) as port:
        yield port


def test_the_name_is_said_before_the_certificate_is_shown(certificates) -> None:
    """So that one address may serve several names; but an address is no name."""
    asked: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate("server"), certificates.key("server"))
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    tls = etcd_tls.context(EtcdTls(certificates.certificate("ca")))

    def greet(connected: socket.socket) -> None:
        context.wrap_socket(connected, server_side=True).close()

    with listeners.serving(greet) as port:
        for host in ("localhost", "127.0.0.1"):
            Connection.to(host, port, timeout=30, tls=tls).close()
    assert asked == ["localhost", None]


def test_files_that_are_no_certificates_are_named(certificates, tmp_path: Path) -> None:
    empty, ca = str(tmp_path / "empty"), certificates.certificate("ca")
    Path(empty).write_text("")
    mine = (certificates.certificate("client"), certificates.key("client"))
    bad = {
        "ETCD_CA_CERT_FILE": [EtcdTls(empty), EtcdTls("/absent")],
        "ETCD_CERT_FILE": [EtcdTls(ca, "/absent", mine[1])],
        "ETCD_KEY_FILE": [
            EtcdTls(ca, mine[0], "/absent"),
            EtcdTls(ca, mine[0], empty),
            EtcdTls(ca, mine[0], certificates.key("server")),
        ],
    }
    for variable, values in bad.items():
        for each in values:
            with pytest.raises(InvalidValue, match=f"invalid {variable} "):
                etcd_tls.context(each)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (9, "not valid yet"),
        (10, "expired"),
        (18, "not signed by whom"),
        (20, "not signed by whom"),
        (62, "another one's"),
        (64, "another one's"),
        (999, "something new"),
    ],
)
def test_every_doubt_about_a_certificate_has_words(code, words) -> None:
    doubt = ssl.SSLCertVerificationError()
    doubt.verify_code, doubt.verify_message = code, "something new"
    assert words in etcd_tls.reason(doubt)


def test_plain_http_where_tls_was_expected_is_said() -> None:
    tls = etcd_tls.context(EtcdTls())
    with (
        listeners.serving(listeners.PLAIN_HTTP) as port,
        pytest.raises(TlsFailed, match=r"is it plain http\?"),
    ):
        Connection.to("127.0.0.1", port, timeout=30, tls=tls)


def test_a_server_that_resets_the_connection_instead_of_greeting_says_tls_too() -> None:
    def reset(connected: socket.socket) -> None:
        connected.recv(1)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    tls = etcd_tls.context(EtcdTls())
    with (
        listeners.serving(reset) as port,
        pytest.raises(TlsFailed, match="TLS: it hung up"),
    ):
        Connection.to("127.0.0.1", port, timeout=30, tls=tls)


def test_what_a_server_sends_for_a_later_session_is_no_reason_to_hang_up(certificates) -> None:
    """It comes without a question, and makes the socket readable; so does the end."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate("server"), certificates.key("server"))
    tls = etcd_tls.context(EtcdTls(certificates.certificate("ca")))
    ended = threading.Event()

    def greet(connected: socket.socket) -> None:
        with context.wrap_socket(connected, server_side=True):
            ended.wait(30)

    with listeners.serving(greet) as port:
        connection = Connection.to("localhost", port, timeout=30, tls=tls)
        readable, _, _ = select.select([connection._socket], [], [], 30)
        assert readable
        assert connection.can_ask("/a")
        ended.set()
        select.select([connection._socket], [], [], 30)
        assert not connection.can_ask("/a")
        connection.close()
