"""The proxy's sockets, threads and guards, with a scripted engine and scripted workloads."""

import contextlib
import json
import logging
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from calico_ctl.daemons import docker_proxy, questions
from calico_ctl.daemons.docker_proxy import ProxySettings
from calico_ctl.daemons.room import Room
from calico_ctl.errors import AlreadyExists, CalicoError, DeadlineExceeded, PoolExhausted
from calico_ctl.model.endpoint import Endpoint
from calico_ctl.model.wish import Wish
from tests.support import command
from tests.support.certificates import Certificates
from tests.support.fake_engine import PATIENCE, FakeEngine, Peer
from tests.support.playbook import answer, chunked, request
from tests.support.strict_http import Seen

PING, PONG = request("GET /_ping"), answer("200 OK", body=b"OK")
CREATE = request("POST /containers/create", body=b'{"Env":["CALICO_IP=10.1.2.3"]}')
CREATED = answer("201 Created", body=b'{"Id":"f00d"}')
START, STARTED = request("POST /containers/web/start"), answer("204 No Content")
RESTART = request("POST /containers/web/restart")
REMOVE = request("DELETE /containers/web")
UPGRADE = request("POST /exec/1/start", "Connection: Upgrade", "Upgrade: tcp")
UPGRADED = answer("101 UPGRADED", "Connection: Upgrade", "Upgrade: tcp")
MUCH = 64 * 1024 * 1024
TOO_MANY = questions.QUESTION_LIMIT + 6


class FakeWorkloads:
    """Notes what is asked; `connect` and `check` wait as long as `may_answer` is not set.

    With no agent, `await_agent` raises when `may_refuse` is set.
    Containers whose names begin with `plain` have nothing to do with Calico.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.has_agent = True
        self.may_refuse = threading.Event()
        self.error: Exception | None = None

    def check(self, wish: Wish) -> None:
        self._note("check", str(wish.requests[0]))
        assert self.may_answer.wait(PATIENCE)

    def reserve(self, container_id: str, wish: Wish) -> None:
        self._note("reserve", container_id, str(wish.requests[0]))

    def identify(self, name: str) -> str | None:
        self._note("identify", name)
        return None if name.startswith("plain") else "f00d"

    def wishes(self, name: str) -> bool:
        self._note("wishes", name)
        return True

    def await_agent(self, container_id: str, seconds: float, *, unless_running: bool) -> None:
        self._note("await_agent", container_id)
        if not self.has_agent:
            assert self.may_refuse.wait(PATIENCE)
            raise DeadlineExceeded("the policy agent on host1 does not answer")

    def connect(self, container: str, seconds: float) -> None:
        self._note("connect", container)
        assert self.may_answer.wait(PATIENCE)

    def stop(self, container_id: str) -> None:
        self._note("stop", container_id)

    def remove(self, container_id: str) -> None:
        self._note("remove", container_id)

    def release(self, container_id: str) -> None:
        self._note("release", container_id)

    def endpoint(self, container_id: str) -> Endpoint | None:
        return None

    def wait_for(self, asked: tuple[str, ...], count: int) -> None:
        """Wait until this was asked so often."""
        command.wait_until(
            lambda: self.asked.count(asked) >= count, PATIENCE, f"{asked} is asked {count} times"
        )

    def _note(self, *asked: str) -> None:
        self.asked.append(asked)
        if self.error:
            raise self.error


class Client:
    """A client's connection."""

    def __init__(self, opened: socket.socket) -> None:
        opened.settimeout(PATIENCE)
        self.socket = opened

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self, count: int) -> bytes:
        return self.socket.recv(count)

    def end(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def ask(self, data: bytes, expected: bytes) -> None:
        self.send(data)
        self.expect(expected)

    def expect(self, expected: bytes) -> None:
        assert self.read(len(expected)) == expected

    def read(self, count: int) -> bytes:
        data = b""
        while len(data) < count and (more := self.receive(count - len(data))):
            data += more
        return data

    def read_all(self) -> bytes:
        return b"".join(iter(lambda: self.receive(1 << 18), b""))

    def told(self, data: bytes) -> tuple[int, str]:
        """Send, and return status and message of the error that comes back."""
        self.send(data)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            piece = self.read(1)
            assert piece, f"the connection ended after {head!r}"
            head += piece
        length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
        return int(head.split(b" ")[1]), json.loads(self.read(length))["message"]


class TlsClient(Client):
    """A client with TLS that can half-close, which the standard library's sockets cannot."""

    def __init__(self, opened: socket.socket, context: ssl.SSLContext) -> None:
        super().__init__(opened)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self.until_done(self.tls.do_handshake)

    def send(self, data: bytes) -> None:
        self.tls.write(data)
        super().send(self.outgoing.read())

    def receive(self, count: int) -> bytes:
        with contextlib.suppress(ssl.SSLZeroReturnError):
            data = self.until_done(lambda: self.tls.read(count))
            assert isinstance(data, bytes)
            return data
        return b""

    def end(self) -> None:
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        super().send(self.outgoing.read())

    def until_done(self, step: Callable[[], object]) -> object:
        """Exchange bytes with the other side until the step can be taken."""
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                super().send(self.outgoing.read())
                received = super().receive(1 << 18)
                if received:
                    self.incoming.write(received)
                else:
                    self.incoming.write_eof()
            finally:
                super().send(self.outgoing.read())


class Proxy:
    """A running proxy, at `port`, with the engine's socket at `engine`."""

    def __init__(self, directory: Path) -> None:
        self.engine = directory / "engine"
        self.workloads = FakeWorkloads()
        self.port = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread()

    def start(self, **settings: object) -> None:
        ready = threading.Event()

        def listening(_host: str, port: int) -> None:
            self.port = port
            ready.set()

        values = {"host": "127.0.0.1", "port": 0, "engine_socket": str(self.engine), **settings}
        chosen = ProxySettings(**values)  # type: ignore[arg-type]
        work = lambda: docker_proxy.run(chosen, self.workloads, self._stopping, listening)  # noqa: E731
        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()
        assert ready.wait(PATIENCE)

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    @contextlib.contextmanager
    def client(self, address: str = "127.0.0.1") -> Iterator[Client]:
        with socket.create_connection((address, self.port)) as opened:
            yield Client(opened)


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[Proxy]:
    """A proxy that the test starts itself."""
    it = Proxy(tmp_path)
    yield it
    it.workloads.may_answer.set()
    it.stop()


@pytest.fixture
def proxy(idle: Proxy) -> Proxy:
    idle.start()
    return idle


def says(*answers: bytes) -> Callable[[Peer], None]:
    """An engine that gives these answers on each connection, then waits for its end."""

    def handle(peer: Peer) -> None:
        for each in answers:
            peer.request()
            peer.send(each)
        peer.wait_for_end()

    return handle


# Calls


def test_calls_pass_on_one_kept_connection(proxy):
    with FakeEngine(proxy.engine, says(PONG, PONG, PONG)), proxy.client() as client:
        for _ in range(3):
            client.ask(PING, PONG)


def test_a_container_is_checked_reserved_connected_and_released(proxy):
    engine = FakeEngine(proxy.engine, says(CREATED, STARTED, STARTED))
    with engine, proxy.client() as client:
        client.ask(CREATE, CREATED)
        client.ask(START, STARTED)
        client.ask(REMOVE, STARTED)
    assert proxy.workloads.asked == [
        ("check", "10.1.2.3"),
        ("reserve", "f00d", "10.1.2.3"),
        ("identify", "web"),
        ("await_agent", "f00d"),
        ("connect", "f00d"),
        ("identify", "web"),
        ("release", "f00d"),
    ]


def test_calls_that_hang_delay_none_about_containers_of_others(proxy, monkeypatch):
    """The agent and etcd hang, and more of ours wait for them than are asked about at a time."""
    monkeypatch.setattr(questions, "ANSWER_SECONDS", PATIENCE)
    proxy.workloads.may_answer.clear()
    engine = FakeEngine(proxy.engine, serve_everything)
    with engine, proxy.client() as other, contextlib.ExitStack() as open_:
        starting, creating = (
            [open_.enter_context(proxy.client()) for _ in range(TOO_MANY)] for _ in range(2)
        )
        for client in starting:
            client.send(START)
        for client in creating:
            client.send(CREATE)
        proxy.workloads.wait_for(("connect", "f00d"), questions.QUESTION_LIMIT)
        proxy.workloads.wait_for(("check", "10.1.2.3"), questions.QUESTION_LIMIT)
        other.ask(PING, PONG)
        other.ask(request("POST /containers/create", body=b"{}"), CREATED)
        other.ask(request("POST /containers/plain/start"), STARTED)
        other.ask(request("GET /containers/plain/json"), PONG)
        other.ask(request("DELETE /containers/plain"), PONG)
        proxy.workloads.may_answer.set()
        for client in starting:
            client.expect(STARTED)
        for client in creating:
            client.expect(CREATED)
    assert ("stop", "f00d") not in proxy.workloads.asked


def test_of_however_many_starts_that_hang_all_are_answered_and_stopped_in_time(proxy, monkeypatch):
    monkeypatch.setattr(questions, "ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(questions, "UNDO_SECONDS", PATIENCE)
    proxy.workloads.may_answer.clear()
    engine = FakeEngine(proxy.engine, serve_everything)
    with engine, contextlib.ExitStack() as open_:
        clients = [open_.enter_context(proxy.client()) for _ in range(TOO_MANY)]
        for client in clients:
            client.send(START)
        told = [client.told(b"") for client in clients]
        assert {status for status, _ in told} == {504}
        assert all("the policy agent or etcd" in message for _, message in told)
        asked = proxy.workloads.asked
        assert asked.count(("stop", "f00d")) == TOO_MANY
        monkeypatch.setattr(questions, "ANSWER_SECONDS", PATIENCE)
        proxy.workloads.may_answer.set()
        clients[0].ask(START, STARTED)
    # What was given up before its turn was not connected afterwards.
    assert asked.count(("connect", "f00d")) <= questions.QUESTION_LIMIT + 1


def test_of_however_many_starts_without_the_agent_none_reaches_the_engine(proxy):
    reached: list[bytes] = []

    def handle(peer: Peer) -> None:
        serve_everything(peer, lambda seen: reached.append(seen.target))

    proxy.workloads.has_agent = False
    with FakeEngine(proxy.engine, handle), proxy.client() as other, contextlib.ExitStack() as open_:
        clients = [open_.enter_context(proxy.client()) for _ in range(TOO_MANY)]
        for number, client in enumerate(clients):
            client.send(START if number % 2 else RESTART)
        proxy.workloads.wait_for(("await_agent", "f00d"), questions.QUESTION_LIMIT)
        # Meanwhile everything else is served, the engine's containers too.
        other.ask(PING, PONG)
        other.ask(CREATE, CREATED)
        other.ask(request("POST /containers/plain/start"), STARTED)
        other.ask(request("DELETE /containers/web"), PONG)
        proxy.workloads.may_refuse.set()
        told = [client.told(b"") for client in clients]
        assert set(told) == {(504, "the policy agent on host1 does not answer")}
        assert [each for each in reached if b"start" in each] == [b"/containers/plain/start"]
        asked = proxy.workloads.asked
        assert ("connect", "f00d") not in asked
        assert ("stop", "f00d") not in asked
        proxy.workloads.has_agent = True
        for client in clients:
            client.ask(START, STARTED)
    assert asked.count(("connect", "f00d")) == TOO_MANY


def test_a_container_whose_reservation_comes_too_late_is_removed_again(proxy, monkeypatch):
    may_reserve = threading.Event()

    def check(_wish: Wish) -> None:
        monkeypatch.setattr(questions, "ANSWER_SECONDS", 0.2)

    monkeypatch.setattr(questions, "ANSWER_SECONDS", PATIENCE)
    monkeypatch.setattr(proxy.workloads, "check", check)
    monkeypatch.setattr(proxy.workloads, "reserve", lambda *_: may_reserve.wait(PATIENCE))
    with FakeEngine(proxy.engine, serve_everything), proxy.client() as client:
        status, message = client.told(CREATE)
        assert status == 504
        assert "etcd does not answer" in message
        may_reserve.set()
        proxy.workloads.wait_for(("remove", "f00d"), 1)


def serve_everything(peer: Peer, see: Callable[[Seen], None] = lambda _seen: None) -> None:
    while True:
        seen = peer.request()
        see(seen)
        if seen.target == b"/containers/create":
            peer.send(CREATED)
        else:
            peer.send(STARTED if seen.method == "POST" else PONG)


def test_an_error_about_a_container_is_the_answer(proxy):
    proxy.workloads.error = PoolExhausted("no address is left")
    with FakeEngine(proxy.engine, says()), proxy.client() as client:
        assert client.told(CREATE) == (409, "no address is left")


def test_a_mistake_of_ours_ends_that_connection_alone_and_is_logged(proxy, caplog):
    proxy.workloads.error = RuntimeError("a mistake")
    engine = FakeEngine(proxy.engine, serve_everything)
    with engine, proxy.client() as other, proxy.client() as client:
        other.ask(PING, PONG)
        assert client.told(START)[0] == 500
        assert client.read_all() == b""
        other.ask(PING, PONG)
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.exc_info
    assert "a mistake" in str(record.exc_info[1])


def test_a_log_tells_decisions_and_nothing_secret(proxy, caplog):
    caplog.set_level(logging.INFO)
    create = request(
        "POST /containers/create?name=s3cret",
        "X-Registry-Auth: s3cret",
        body=b'{"Env":["CALICO_IP=10.1.2.3","PASSWORD=s3cret"]}',
    )
    with FakeEngine(proxy.engine, says(CREATED, PONG)), proxy.client() as client:
        client.ask(create, CREATED)
        client.ask(request("GET /_ping?t=s3cret"), PONG)
    told = [each.getMessage() for each in caplog.records if "docker_proxy" in each.name]
    line = r"POST /containers/create: reserved the addresses of f00d in (\d+) ms"
    found = re.fullmatch(line, told[-1])
    assert found is not None, told
    assert int(found[1]) < PATIENCE * 1000
    assert "s3cret" not in caplog.text


# Ends


def test_an_engine_that_is_not_there_is_named_and_tried_again(proxy):
    with proxy.client() as client:
        status, message = client.told(PING)
        assert status == 502
        assert f"unix://{proxy.engine}" in message
        assert "not running" in message
        with FakeEngine(proxy.engine, says(PONG)):
            client.ask(PING, PONG)


def test_an_engine_whose_queue_is_full_is_waited_for(proxy):
    with (
        socket.socket(socket.AF_UNIX) as listener,
        socket.socket(socket.AF_UNIX) as other,
        proxy.client() as client,
    ):
        listener.bind(str(proxy.engine))
        listener.listen(0)
        other.connect(str(proxy.engine))
        client.send(PING)
        client.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.receive(1)
        client.socket.settimeout(PATIENCE)
        listener.accept()[0].close()
        accepted = Peer(listener.accept()[0])
        with accepted.socket:
            accepted.request()
            accepted.send(PONG)
            client.expect(PONG)


def test_an_engine_that_ends_takes_its_clients_along_and_the_proxy_stays(proxy):
    with proxy.client() as client:
        with FakeEngine(proxy.engine, says(PONG)):
            client.ask(PING, PONG)
        assert client.read_all() == b""
    with FakeEngine(proxy.engine, says(PONG)), proxy.client() as client:
        client.ask(PING, PONG)


def test_an_engine_that_breaks_off_an_answer_breaks_it_off_for_the_client(proxy):
    part = answer("200 OK", "Content-Length: 9") + b"abc"

    def handle(peer: Peer) -> None:
        peer.request()
        peer.send(part)

    with FakeEngine(proxy.engine, handle), proxy.client() as client:
        client.send(PING)
        assert client.read_all() == part


def test_an_engine_that_is_killed_before_it_reads_ends_the_connection(proxy):
    def handle(peer: Peer) -> None:
        peer.read(1)  # the rest is lost: the kernel tells of that with a reset

    with FakeEngine(proxy.engine, handle), proxy.client() as client:
        client.send(PING)
        assert client.read_all() == b""


@pytest.mark.parametrize("is_reset", [False, True])
@pytest.mark.parametrize("begun", [b"", answer("200 OK", "Transfer-Encoding: chunked")])
def test_the_engine_learns_that_a_client_has_gone(proxy, begun, is_reset):
    is_asked, noticed = threading.Event(), threading.Event()

    def handle(peer: Peer) -> None:
        peer.request()
        peer.send(begun)
        is_asked.set()
        peer.wait_for_end()
        noticed.set()

    with FakeEngine(proxy.engine, handle):
        with proxy.client() as client:
            client.ask(request("GET /events"), begun)
            assert is_asked.wait(PATIENCE)
            if is_reset:
                abort(client.socket)
        assert noticed.wait(PATIENCE)


def test_a_client_that_only_stops_sending_still_gets_its_answer(proxy):
    def handle(peer: Peer) -> None:
        peer.request()
        peer.wait_for_end()
        peer.send(PONG)

    with FakeEngine(proxy.engine, handle), proxy.client() as client:
        client.send(PING)
        client.end()
        assert client.read_all() == PONG


def test_a_reservation_is_made_though_its_client_has_gone(proxy):
    is_sent, may_answer = threading.Event(), threading.Event()

    def handle(peer: Peer) -> None:
        peer.request()
        is_sent.set()
        assert may_answer.wait(PATIENCE)
        peer.send(CREATED)
        peer.wait_for_end()

    with FakeEngine(proxy.engine, handle):
        with proxy.client() as client:
            client.send(CREATE)
            assert is_sent.wait(PATIENCE)
            abort(client.socket)
        may_answer.set()
        reserved = ("reserve", "f00d", "10.1.2.3")
        command.wait_until(
            lambda: proxy.workloads.asked[-1] == reserved, PATIENCE, "it is reserved"
        )


def abort(opened: socket.socket) -> None:
    """Close with a reset."""
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    opened.close()


# Tunnels


def test_a_tunnel_passes_both_ways_and_half_closes(proxy):
    def handle(peer: Peer) -> None:
        peer.request()
        peer.send(UPGRADED + b"early")
        assert peer.read(5) == b"stdin"
        peer.wait_for_end()
        peer.send(b"late")

    with FakeEngine(proxy.engine, handle), proxy.client() as client:
        client.ask(UPGRADE, UPGRADED + b"early")
        client.send(b"stdin")
        client.end()
        assert client.read_all() == b"late"


def test_the_engines_half_close_passes_and_the_client_may_go_on(proxy):
    heard = threading.Event()

    def handle(peer: Peer) -> None:
        peer.request()
        peer.send(UPGRADED)
        peer.end()
        assert peer.read(4) == b"more"
        heard.set()

    with FakeEngine(proxy.engine, handle), proxy.client() as client:
        client.ask(UPGRADE, UPGRADED)
        assert client.read_all() == b""
        client.send(b"more")
        assert heard.wait(PATIENCE)


def test_a_client_that_resets_a_tunnel_ends_it_for_the_engine(proxy):
    noticed = threading.Event()

    def handle(peer: Peer) -> None:
        peer.request()
        peer.send(UPGRADED)
        peer.wait_for_end()
        noticed.set()

    with FakeEngine(proxy.engine, handle), proxy.client() as client:
        client.ask(UPGRADE, UPGRADED)
        abort(client.socket)
        assert noticed.wait(PATIENCE)


def test_a_tunnel_that_both_sides_have_ended_is_no_more(idle):
    idle.start(connection_limit=1)
    is_over = threading.Event()

    def handle(peer: Peer) -> None:
        if peer.request().method != "POST":
            peer.send(PONG)
            return
        peer.send(UPGRADED)
        peer.end()
        assert is_over.wait(PATIENCE)

    with FakeEngine(idle.engine, handle), idle.client() as client:
        client.ask(UPGRADE, UPGRADED)
        client.end()
        assert client.read_all() == b""
        wait_until_served(idle)
        is_over.set()


# Backpressure


@pytest.mark.parametrize("head", [answer("200 OK", f"Content-Length: {MUCH}"), UPGRADED])
def test_a_client_that_does_not_read_holds_up_the_engine(proxy, head):
    sent: list[int] = []
    is_held_up = threading.Event()

    def handle(peer: Peer) -> None:
        peer.request()
        peer.send(head)
        sent.append(send_until_held_up(peer, is_held_up))
        peer.send(bytes(MUCH - sent[0]))

    with FakeEngine(proxy.engine, handle), proxy.client() as client:
        client.send(UPGRADE)
        assert is_held_up.wait(PATIENCE)
        client.expect(head)
        assert sum(map(len, iter(lambda: client.socket.recv(1 << 20), b""))) == MUCH
    # What the kernel keeps on both sides, and a little of ours.
    assert sent[0] < 16 * 1024 * 1024


def send_until_held_up(peer: Peer, is_held_up: threading.Event) -> int:
    """Send zeros until nobody takes them for half a second; return how many were taken."""
    sent, piece = 0, bytes(1 << 16)
    peer.socket.settimeout(0.5)
    with contextlib.suppress(TimeoutError):
        while True:
            sent += peer.socket.send(piece)
    peer.socket.settimeout(PATIENCE)
    is_held_up.set()
    return sent


def test_an_engine_that_does_not_read_holds_up_the_client(proxy):
    may_read = threading.Event()

    def handle(peer: Peer) -> None:
        assert may_read.wait(PATIENCE)
        peer.read(len(head))
        received = 0
        while received < MUCH:
            received += len(peer.socket.recv(1 << 20))
        peer.send(PONG)

    head = request("POST /images/load", f"Content-Length: {MUCH}")
    with FakeEngine(proxy.engine, handle), proxy.client() as client:
        client.send(head)
        sent = send_until_held_up(Peer(client.socket), may_read)
        assert sent < 16 * 1024 * 1024
        client.ask(bytes(MUCH - sent), PONG)


def test_requests_that_nobody_reads_answers_to_are_not_answered_without_end(proxy):
    """There is no engine: the answers are ours, and could gather."""
    with proxy.client() as client:
        client.socket.settimeout(2)
        sent, most = 0, 10 * 1024 * 1024
        with contextlib.suppress(TimeoutError):
            while sent < most:
                sent += client.socket.send((PING * 1000)[sent % len(PING) :])
    # The kernel keeps some on both sides; a proxy that keeps more takes as much as there is.
    assert sent < most


def test_chunks_and_trailers_pass_in_both_directions(proxy):
    def handle(peer: Peer) -> None:
        seen = peer.request()
        assert seen.trailers == ((b"X-T", b"1"),)
        peer.send(answer("200 OK", "Transfer-Encoding: chunked"))
        peer.send(chunked(seen.body, b"more", trailers=("X-U: 2",)))

    head = request("POST /build", "Transfer-Encoding: chunked")
    expected = answer("200 OK", "Transfer-Encoding: chunked")
    expected += chunked(b"context", b"more", trailers=("X-U: 2",))
    with FakeEngine(proxy.engine, handle), proxy.client() as client:
        client.ask(head + chunked(b"con", b"text", trailers=("X-T: 1",)), expected)


# Edges


@pytest.fixture
def _patient(monkeypatch):
    """Clients that are refused are listened to for as long as a busy machine may take."""
    monkeypatch.setattr(docker_proxy, "_LINGER_SECONDS", PATIENCE)


@pytest.mark.usefixtures("_patient")
def test_a_refused_client_has_time_to_say_the_rest_and_to_read_why(proxy):
    """What is not read when we close makes the kernel throw our answer away."""
    with proxy.client() as client:
        status, message = client.told(
            request("POST /containers/create", f"Content-Length: {MUCH}") + bytes(MUCH)
        )
    assert status == 413
    assert "longer than" in message


def test_a_head_that_does_not_come_in_time_is_given_up(idle):
    idle.start(head_seconds=0.2)
    with idle.client() as client:
        assert client.told(PING[:9])[0] == 408
        assert client.read_all() == b""


@pytest.mark.usefixtures("_patient")
def test_abuse_is_refused_and_harms_nobody_else(proxy):
    seen: list[bytes] = []

    def handle(peer: Peer) -> None:
        while True:
            seen.append(peer.request().target)
            peer.send(PONG)

    head = "POST /containers/create"
    abuses = {
        431: b"GET /flood HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 50_000,
        413: request(head, "Transfer-Encoding: chunked") + b"1100000\r\n" + bytes(17 << 20),
        400: request(head, "Transfer-Encoding: chunked", body=b"0\r\n\r\n" + START),
    }
    with FakeEngine(proxy.engine, handle), proxy.client() as other, contextlib.ExitStack() as open_:
        other.ask(PING, PONG)
        for _ in range(20):
            open_.enter_context(proxy.client()).send(PING[:9])
        for status, data in abuses.items():
            client = open_.enter_context(proxy.client())
            assert client.told(data)[0] == status
            other.ask(PING, PONG)
    assert seen == [b"/_ping"] * 4


LONG = b'{"Labels":"' + b"x" * 600_000 + b'"}'
LONG_CREATE = request("POST /containers/create", body=LONG)


@pytest.fixture
def _narrow(monkeypatch):
    """There is room for one long request at a time, and a while to wait for it."""
    monkeypatch.setattr(questions, "HOLD_LIMIT", 1_000_000)
    monkeypatch.setattr(questions, "ANSWER_SECONDS", PATIENCE)


class Taking:
    """Counts how often room is asked for."""

    def __init__(self) -> None:
        self.count = 0

    def wait_for(self, count: int) -> None:
        command.wait_until(lambda: self.count == count, PATIENCE, f"{count} have asked for room")


@pytest.fixture
def taking(monkeypatch) -> Taking:
    it, take = Taking(), Room.take

    def counted(room: Room, size: int) -> "Future[object]":
        it.count += 1
        return take(room, size)

    monkeypatch.setattr(Room, "take", counted)
    return it


class Creating:
    """An engine that answers long create requests when it may, others at once."""

    def __init__(self) -> None:
        self.long = 0
        self.may_answer = threading.Event()

    def __call__(self, peer: Peer) -> None:
        while True:
            seen = peer.request()
            if len(seen.body) > 1000:
                self.long += 1
                assert self.may_answer.wait(PATIENCE)
            peer.send(CREATED)

    def wait_for(self, count: int) -> None:
        command.wait_until(lambda: self.long == count, PATIENCE, f"{count} long requests came")


@pytest.mark.usefixtures("_narrow")
def test_long_create_requests_share_their_room_and_others_need_none(idle, taking):
    idle.start()
    creating = Creating()
    with (
        FakeEngine(idle.engine, creating),
        idle.client() as first,
        idle.client() as second,
        idle.client() as other,
    ):
        first.send(LONG_CREATE)
        creating.wait_for(1)
        # The sender may have to wait until somebody reads.
        sending = threading.Thread(target=second.send, args=(LONG_CREATE,), daemon=True)
        sending.start()
        taking.wait_for(2)
        for _ in range(20):
            other.ask(CREATE, CREATED)
        assert creating.long == 1
        creating.may_answer.set()
        first.expect(CREATED)
        second.expect(CREATED)
        sending.join(PATIENCE)
        first.ask(LONG_CREATE, CREATED)


@pytest.mark.usefixtures("_narrow")
def test_a_connection_that_ends_leaves_its_room_to_others(idle, taking):
    idle.start()
    creating = Creating()
    creating.may_answer.set()
    with FakeEngine(idle.engine, creating), idle.client() as second:
        for number in range(1, 4):
            with idle.client() as first:
                first.send(LONG_CREATE[:400_000])
                taking.wait_for(number)
                abort(first.socket)
        second.ask(LONG_CREATE, CREATED)


@pytest.mark.usefixtures("_narrow", "_patient")
def test_who_finds_no_room_in_time_is_told_so(idle, monkeypatch):
    idle.start()
    creating = Creating()
    with FakeEngine(idle.engine, creating), idle.client() as first:
        first.send(LONG_CREATE)
        creating.wait_for(1)
        monkeypatch.setattr(questions, "ANSWER_SECONDS", 0.2)
        with idle.client() as second:
            status, message = second.told(LONG_CREATE)
            assert status == 503
            assert "too many long requests" in message
        creating.may_answer.set()
        first.expect(CREATED)
        first.ask(LONG_CREATE, CREATED)


def test_one_connection_too_many_is_told_so_and_others_stay(idle):
    idle.start(connection_limit=2)
    engine = FakeEngine(idle.engine, serve_everything)
    with engine, idle.client() as first:
        with idle.client() as second:
            first.ask(PING, PONG)
            second.ask(PING, PONG)
            with idle.client() as third:
                assert third.told(b"")[0] == 503
            first.ask(PING, PONG)
        wait_until_served(idle)


def wait_until_served(proxy: Proxy) -> None:
    """Wait until another connection is accepted: the end of the one before takes a moment."""

    def is_served() -> bool:
        with proxy.client() as client:
            client.send(PING)
            return client.read(12) == PONG[:12]

    command.wait_until(is_served, PATIENCE, "another client is served")


def test_a_taken_port_is_named_and_swarm_with_it(proxy):
    settings = ProxySettings("127.0.0.1", proxy.port, engine_socket=str(proxy.engine))
    with pytest.raises(AlreadyExists) as caught:
        docker_proxy.run(settings, proxy.workloads, threading.Event())
    assert f"127.0.0.1 port {proxy.port}" in caught.value.message
    assert "Swarm" in caught.value.hint


def test_an_address_of_nobody_is_named():
    settings = ProxySettings("192.0.2.1", 2377)
    with pytest.raises(CalicoError, match=r"192\.0\.2\.1 port 2377"):
        docker_proxy.run(settings, FakeWorkloads(), threading.Event())


def test_it_ends_at_once_though_a_question_is_open(proxy):
    proxy.workloads.may_answer.clear()
    with FakeEngine(proxy.engine, serve_everything), proxy.client() as client:
        client.send(START)
        proxy.workloads.wait_for(("connect", "f00d"), 1)
        proxy.stop()
        with contextlib.suppress(ConnectionError):
            assert client.read_all() == b""


def test_the_address_that_a_client_came_to_is_one_of_its_names(idle):
    idle.start(host="0.0.0.0")
    asked = f"GET /_ping HTTP/1.1\r\nHost: 127.0.0.2:{idle.port}\r\n\r\n".encode()
    with FakeEngine(idle.engine, says(PONG)), idle.client("127.0.0.2") as client:
        client.ask(asked, PONG)
    with idle.client() as client:
        assert client.told(asked)[0] == 403


# TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def tls_proxy(idle: Proxy, certificates: Certificates) -> Proxy:
    idle.start(
        certificate=certificates.certificate("server"),
        key=certificates.key("server"),
        ca=certificates.certificate("ca"),
    )
    return idle


@contextlib.contextmanager
def tls_client(proxy: Proxy, certificates: Certificates, name: str | None) -> Iterator[TlsClient]:
    context = ssl.create_default_context(cafile=certificates.certificate("ca"))
    if name:
        context.load_cert_chain(certificates.certificate(name), certificates.key(name))
    with proxy.client() as plain:
        yield TlsClient(plain.socket, context)


def test_with_tls_calls_pass_for_those_who_have_a_certificate(tls_proxy, certificates):
    much = answer("200 OK", body=bytes(1 << 20))
    engine = FakeEngine(tls_proxy.engine, says(PONG, much))
    with engine, tls_client(tls_proxy, certificates, "client") as client:
        client.ask(PING, PONG)
        client.ask(PING, much)


@pytest.mark.parametrize("name", [None, "stranger"])
def test_with_tls_nobody_else_is_served(tls_proxy, certificates, name):
    with (
        pytest.raises((ssl.SSLError, ConnectionError)),
        tls_client(tls_proxy, certificates, name) as client,
    ):
        client.ask(PING, PONG)
    with tls_proxy.client() as plain:
        plain.send(PING)
        assert PONG not in plain.read_all()


def test_with_tls_too_a_client_that_stops_sending_gets_the_rest(tls_proxy, certificates):
    def handle(peer: Peer) -> None:
        peer.request()
        peer.send(UPGRADED)
        assert peer.read(5) == b"stdin"
        peer.wait_for_end()
        peer.send(b"late")

    engine = FakeEngine(tls_proxy.engine, handle)
    with engine, tls_client(tls_proxy, certificates, "client") as client:
        client.ask(UPGRADE, UPGRADED)
        client.send(b"stdin")
        # Only the TLS layer's last word: the socket stays open to read from.
        client.end()
        assert client.read_all() == b"late"


def test_certificates_that_cannot_be_used_are_named(tmp_path, certificates):
    (tmp_path / "none.pem").write_text("nothing")
    settings = ProxySettings(
        "127.0.0.1", 0, str(tmp_path / "none.pem"), certificates.key("server"), "ca.pem"
    )
    with pytest.raises(CalicoError, match=r"none\.pem"):
        docker_proxy.run(settings, FakeWorkloads(), threading.Event())
