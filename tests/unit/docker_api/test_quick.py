"""A first look at a container, at an engine that answers as it likes."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from calico_ctl.docker_api.client import Engine
from calico_ctl.docker_api.quick import QuickEngine
from calico_ctl.errors import DockerUnavailable, NotFound

FOUND = {
    "Id": "c" * 64,
    "Name": "/web",
    "State": {"Running": True, "Pid": 42},
    "Config": {"Hostname": "web"},
    "HostConfig": {"NetworkMode": "none"},
}
BODY = json.dumps(FOUND).encode()


@contextmanager
def answering(path: Path, answer: bytes) -> Iterator[list[bytes]]:
    """Give one answer on a socket; what was asked is kept."""
    asked: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                asked.append(connection.recv(1 << 16))
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield asked
        thread.join(30)


@pytest.fixture
def engine(tmp_path, monkeypatch) -> QuickEngine:
    def left_to_docker_py(_self: Engine, name: str) -> object:
        raise NotFound(f"docker-py was asked for {name}")

    monkeypatch.setattr(Engine, "_inspect", left_to_docker_py)
    return QuickEngine({"DOCKER_HOST": f"unix://{tmp_path}/docker.sock"})


def test_a_container_is_asked_for_once_and_read(engine, tmp_path) -> None:
    head = f"HTTP/1.0 200 OK\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
    with answering(tmp_path / "docker.sock", head + BODY) as asked:
        found = engine.container("web")
    assert (found.id, found.name, found.pid) == ("c" * 64, "web", 42)
    assert asked == [b"GET /containers/web/json HTTP/1.0\r\nHost: docker\r\n\r\n"]


def test_a_container_that_is_not_there_needs_no_docker_py(engine, tmp_path) -> None:
    answer = b'HTTP/1.0 404 Not Found\r\n\r\n{"message":"No such container: web"}'
    with (
        answering(tmp_path / "docker.sock", answer),
        pytest.raises(NotFound, match=r"^there is no container web$"),
    ):
        engine.container("web")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense",
        b"HTTP/1.0 200 OK\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 5000\r\n\r\n" + BODY,
        b"HTTP/1.0 200 OK\r\n\r\n" + BODY[:-1],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + BODY,
        b'HTTP/1.0 404 Not Found\r\n\r\n{"message":"page not found"}',
        b'HTTP/1.0 400 Bad Request\r\n\r\n{"message":"multiple IDs found"}',
        b"HTTP/1.0 500 Oh\r\n\r\n{}",
    ],
)
def test_all_that_is_not_plain_is_left_to_docker_py(engine, tmp_path, answer) -> None:
    with (
        answering(tmp_path / "docker.sock", answer),
        pytest.raises(NotFound, match="docker-py was asked for web"),
    ):
        engine.container("web")


@pytest.mark.parametrize("name", ["../info", "a b", "", "-x", "a?b=c"])
def test_a_word_that_no_container_is_called_is_not_asked_for(engine, name) -> None:
    with pytest.raises(NotFound, match="docker-py was asked"):
        engine.container(name)


def test_an_engine_that_hangs_is_waited_for_once(engine, tmp_path) -> None:
    engine.seconds = 0.05
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind(str(tmp_path / "docker.sock"))
        hanging.listen()
        with pytest.raises(DockerUnavailable, match="does not answer in time") as caught:
            engine.container("web")
    assert "if it hangs, restart it" in caught.value.hint


def test_where_nobody_listens_docker_py_says_so(engine) -> None:
    with pytest.raises(NotFound, match="docker-py was asked"):
        engine.container("web")


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("", True),
        ("unix:///run/user/1000/docker.sock", True),
        ("tcp://127.0.0.1:2377", True),
        ("tcp://127.0.0.7:2377", True),
        ("localhost:2377", True),
        ("tcp://[::1]:2377", True),
        ("tcp://240.0.0.1:2375", False),
        ("https://240.0.0.1:2376/x", False),
        ("ssh://me@localhost", False),
    ],
)
def test_an_engine_is_local_if_its_address_is_this_machines(address, local) -> None:
    assert QuickEngine({"DOCKER_HOST": address}).is_local() is local


def test_a_hurried_engine_is_quick_too() -> None:
    hurried = QuickEngine({"DOCKER_HOST": "localhost:2377"}).hurried()
    assert isinstance(hurried, QuickEngine)
    assert hurried.address == "unix:///var/run/docker.sock"
    # As the pages on status and checksystem say.
    assert hurried.seconds == 5 < QuickEngine().seconds
