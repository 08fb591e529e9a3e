"""Streams of a real engine through the proxy: attached, followed, half-closed, broken off."""

import contextlib
import json
import re
import time
from pathlib import Path

import pytest

from tests.support import docker_proxy, engine
from tests.support.command import wait_until
from tests.support.differential import FOREVER, Both, alike, frames, heard, new_name
from tests.support.wire import EndedError, Wire

TCP = {"Connection": "Upgrade", "Upgrade": "tcp"}
INTERACTIVE = {"OpenStdin": True, "StdinOnce": True, "AttachStdin": True, "AttachStdout": True}
ALL = "stream=1&stdin=1&stdout=1&stderr=1"


def start(both: Both, name: str) -> None:
    assert both.ask(f"POST /containers/{name}/start").status == 204


def test_a_shell_on_a_terminal_is_attached(both):
    def talk(connection: Wire) -> list[bytes]:
        with both.container("sh", Tty=True, Hostname="web", **INTERACTIVE) as name:
            answer = connection.ask(f"POST /v1.41/containers/{name}/attach?{ALL}", b"", **TCP)
            assert answer.status == 101
            start(both, name)
            said = [connection.until(b"/ # ")]
            connection.send(b"echo a-$((1+1))\n")
            said.append(connection.until(b"a-2\r\n") + connection.until(b"/ # "))
            connection.send(b"exit 3\n")
            return [answer.undated, *said, connection.rest()]

    both.same(talk)


def test_keys_detach_and_the_container_goes_on(both):
    def talk(connection: Wire) -> list[bytes]:
        with both.running("cat", Tty=True, **INTERACTIVE) as name:
            keys = "detachKeys=ctrl-a,x"
            answer = connection.ask(f"POST /containers/{name}/attach?{ALL}&{keys}", b"", **TCP)
            connection.send(b"before\n")
            said = connection.until(b"before\r\nbefore\r\n")
            connection.send(b"\x01x")
            rest = connection.rest()
            assert both.ask(f"POST /containers/{name}/start").status == 304
            return [answer.undated, said, rest]

    both.same(talk)


@pytest.mark.parametrize("headers", [TCP, {}], ids=["upgrade", "as long ago"])
def test_the_end_of_what_is_typed_reaches_the_container_and_its_output_still_comes(both, headers):
    def talk(connection: Wire) -> list[bytes]:
        count = ("sh", "-c", "cat; wc -c </dev/null; echo all >&2; sleep 0.2; echo done")
        with both.container(*count, **INTERACTIVE) as name:
            connection.request(f"POST /containers/{name}/attach?{ALL}", b"", **headers)
            head = connection.until(b"\r\n\r\n")
            start(both, name)
            connection.send(b"x" * 1_000_000)
            connection.half_close()
            found = frames(connection.rest())
            return [head, found[1], found[2]]

    said = both.same(talk)
    assert said[0].split()[1] == (b"101" if headers else b"200")
    assert said[1] == b"x" * 1_000_000 + b"0\ndone\n"
    assert said[2] == b"all\n"


def test_a_program_is_executed_on_a_terminal(both):
    def talk(connection: Wire) -> list[bytes]:
        with both.running(*FOREVER, Hostname="web") as name:
            program = {"Cmd": ["sh"], "Tty": True, "AttachStdin": True, "AttachStdout": True}
            made = both.ask(f"POST /containers/{name}/exec", json.dumps(program).encode())
            target = f"/exec/{json.loads(made.body)['Id']}"
            answer = connection.ask(f"POST {target}/start", b'{"Tty":true}', **TCP)
            said = [connection.until(b"/ # ")]
            connection.send(b"echo a-$((1+1)); exit 4\n")
            said.append(connection.rest())
            state = both.ask(f"GET {target}/json")
            return [answer.undated, *said, alike(state.body)]

    assert b'"ExitCode":4' in both.same(talk)[-1]


def test_the_output_of_a_program_comes_without_a_terminal(both):
    def talk(connection: Wire) -> list[bytes]:
        with both.running(*FOREVER) as name:
            program = {"Cmd": ["sh", "-c", "echo 1; echo 2 >&2"], "AttachStdout": True}
            made = both.ask(f"POST /containers/{name}/exec", json.dumps(program).encode())
            request = f"POST /exec/{json.loads(made.body)['Id']}/start"
            answer = connection.ask(request, b'{"Detach":false}')
            return [*heard(answer), connection.rest()]

    both.same(talk)


def test_a_wait_begins_before_the_container_does(both):
    def talk(connection: Wire) -> list[bytes]:
        with both.container("sh", "-c", "exit 7") as name:
            connection.request(f"POST /v1.41/containers/{name}/wait?condition=next-exit")
            head = connection.head()
            start(both, name)
            return [head.undated, connection.until(b"0\r\n\r\n")]

    assert b'"StatusCode":7' in both.same_kind(talk)[1]


def test_a_log_is_followed_to_its_end(both):
    def talk(connection: Wire) -> list[bytes]:
        script = "for i in 1 2 3; do echo $i; sleep 0.1; echo e$i >&2; done"
        with both.running("sh", "-c", script) as name:
            answer = connection.ask(f"GET /containers/{name}/logs?follow=1&stdout=1&stderr=1")
            found = frames(answer.body)
            return [answer.undated, found[1], found[2]]

    both.same(talk)


def test_events_of_the_past_come_again_and_the_stream_ends(both):
    since = time.time()
    with both.running(*FOREVER):
        pass
    span = f"since={since:.3f}&until={time.time() + 0.1:.3f}"
    said = both.same(lambda connection: heard(connection.ask(f"GET /events?{span}")))
    assert b'"Action":"destroy"' in said[1]


def test_events_come_as_they_happen(both):
    def talk(connection: Wire) -> list[bytes]:
        # Since now: the engine writes its head a moment before it begins to listen.
        about = f"filters=%7B%22type%22%3A%5B%22container%22%5D%7D&since={time.time():.9f}"
        connection.request(f"GET /v1.41/events?{about}")
        head = connection.head()
        with both.container("true"):
            created = connection.until(b"}\n\r\n")
        return [
            head.undated,
            created.split(b"\r\n")[1],
            connection.until(b"}\n\r\n").split(b"\r\n")[1],
        ]

    both.same_kind(talk)


def test_statistics_come_every_second(both):
    def talk(connection: Wire) -> list[bytes]:
        with both.running(*FOREVER) as name:
            connection.request(f"GET /containers/{name}/stats?stream=1")
            head = connection.head()
            lines = [connection.until(b"}\n\r\n") for _ in range(2)]
            return [head.undated, b" ".join(re.findall(rb'"[a-z_]+"', lines[1]))]

    both.same(talk)


def test_a_container_is_attached_over_a_websocket(both):
    def talk(connection: Wire) -> list[bytes]:
        asked = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Origin": "http://localhost",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        }
        with both.container("echo", "hello") as name:
            target = f"/containers/{name}/attach/ws?stream=1&stdout=1"
            connection.request(f"GET {target}", b"", **asked)
            head = connection.until(b"\r\n\r\n")
            start(both, name)
            return [head, connection.until(b"hello\n")]

    assert both.same(talk)[0].startswith(b"HTTP/1.1 101")


def test_a_session_of_buildkit_speaks_http2_from_the_engine(both):
    def talk(connection: Wire) -> list[bytes]:
        session = {
            "Connection": "Upgrade",
            "Upgrade": "h2c",
            "X-Docker-Expose-Session-Uuid": new_name(),
            "X-Docker-Expose-Session-Name": "diff",
            "X-Docker-Expose-Session-Sharedkey": "",
        }
        connection.request("POST /session", b"", **session)
        return [connection.until(b"\r\n\r\n"), connection.until(b"SM\r\n\r\n")]

    said = both.same(talk)
    assert said[0].startswith(b"HTTP/1.1 101")


def test_http2_from_the_first_byte_reaches_the_engine(both):
    def talk(connection: Wire) -> list[bytes]:
        connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
        return [connection.rest()]

    both.same(talk)


# Who goes away, and who notices.


def sockets(both: Both) -> int:
    """How many sockets the proxy has."""
    found = 0
    for each in Path(f"/proc/{both.proxy.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found += str(each.readlink()).startswith("socket:")
    return found


def connections(both: Both) -> int:
    """How many connections the engine has accepted."""
    lines = Path("/proc/net/unix").read_text().splitlines()
    accepted = [each.split() for each in lines if each.endswith(f" {both.engine.socket}")]
    connected = "03"
    return sum(each[5] == connected for each in accepted)


@pytest.fixture
def _proxy_closes(both: Both):
    """In the end the proxy has no socket more than before."""
    before = sockets(both)
    yield
    wait_until(lambda: sockets(both) <= before, 10, "the proxy has closed everything")


@pytest.fixture
def _engine_closes(both: Both):
    """In the end the engine has no connection more than before."""
    before = connections(both)
    yield
    wait_until(lambda: connections(both) <= before, 10, "the engine has closed everything")


@pytest.mark.usefixtures("_proxy_closes", "_engine_closes")
@pytest.mark.parametrize(
    "call",
    [
        "GET /containers/NAME/logs?follow=1&stdout=1",
        "POST /containers/NAME/wait",
        "GET /events",
        "GET /containers/NAME/stats",
    ],
)
@pytest.mark.parametrize("way", ["close", "half_close"])
def test_the_engine_stops_when_the_client_has_gone(both, call, way):
    ticks = ("sh", "-c", "while :; do echo tick; sleep 0.05; done")
    with both.running(*ticks) as name, Wire(both.proxy.address) as connection:
        connection.request(call.replace("NAME", name))
        connection.head()
        if way == "half_close":
            connection.half_close()
            connection.rest()


@pytest.mark.usefixtures("_proxy_closes")
def test_a_container_reads_to_the_end_when_an_attached_client_has_gone(both):
    with both.running("cat", **INTERACTIVE) as name:
        with Wire(both.proxy.address) as connection:
            assert connection.ask(f"POST /containers/{name}/attach?{ALL}", b"", **TCP).status == 101
        wait_until(lambda: not is_running(both, name), 10, "cat has ended")


@pytest.mark.usefixtures("_proxy_closes", "_engine_closes")
@pytest.mark.parametrize(
    "sent", [b"", b"GET", b"GET /info HTTP/1.1\r\nHost: localhost\r\n", b"PRI"]
)
def test_a_client_that_goes_in_the_middle_of_its_request_leaves_nothing(both, sent):
    with Wire(both.proxy.address) as connection:
        connection.send(sent)


@pytest.mark.usefixtures("_proxy_closes", "_engine_closes")
def test_a_client_that_does_not_read_makes_the_engine_wait_and_not_the_proxy_swell(both):
    script = "head -c 60000000 /dev/zero | tr '\\0' x | fold -w 10000"
    with both.running("sh", "-c", script) as name, Wire(both.proxy.address) as connection:
        connection.request(f"GET /containers/{name}/logs?follow=1&stdout=1")
        connection.until(b"\r\n\r\n")
        before = memory(both.proxy.pid)
        wait_until(lambda: not is_running(both, name), 60, "the container has written it all")
        assert memory(both.proxy.pid) - before < 20e6


def memory(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return float(found[1]) * 1024 if found else 0.0


def is_running(both: Both, name: str) -> bool:
    state = json.loads(both.ask(f"GET /containers/{name}/json").body)["State"]
    return bool(state["Running"])


@pytest.fixture(scope="module")
def mortal():
    """An engine to be killed, and a proxy that has to live with that."""
    with engine.own_engine() as own, docker_proxy.running(own.socket) as proxy:
        yield Both(own, proxy)


def test_an_engine_that_dies_ends_streams_and_is_missed_until_it_is_back(mortal):
    with mortal.container(*FOREVER, **INTERACTIVE) as name:
        start(mortal, name)
        with Wire(mortal.proxy.address) as attached, Wire(mortal.proxy.address) as follower:
            assert attached.ask(f"POST /containers/{name}/attach?{ALL}", b"", **TCP).status == 101
            follower.request("GET /events")
            follower.until(b"\r\n\r\n")
            idle = Wire(mortal.proxy.address)
            assert idle.ask("GET /_ping").status == 200
            mortal.engine.kill()
            attached.rest()
            follower.rest()
            with pytest.raises((EndedError, BrokenPipeError, ConnectionResetError)):
                idle.ask("GET /_ping")
            idle.close()
        with Wire(mortal.proxy.address) as connection:
            for _ in range(2):
                answer = connection.ask("GET /_ping")
                assert answer.status == 502
                message = json.loads(answer.body)["message"]
                assert f"unix://{mortal.engine.socket}" in message
                assert "it is not running" in message
        mortal.engine.start()
        with Wire(mortal.proxy.address) as connection:
            assert connection.ask("GET /_ping").status == 200
