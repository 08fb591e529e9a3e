"""What commands say when etcd or Docker is not as it should be: words, code 1, nothing written."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer

import pytest

from tests.support import listeners
from tests.support.shell import Shell

REFUSAL = b'{"message":"Insufficient credentials"}'
UNAUTHORISED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: %d\r\n\r\n%b" % (
    len(REFUSAL),
    REFUSAL,
)
FOUND: dict[str, tuple[int, dict[str, object]]] = {
    "stopped": (200, {"State": {"Running": False, "Pid": 0}}),
    "on-host": (200, {"HostConfig": {"NetworkMode": "host"}}),
    "abc": (404, {"message": "Multiple IDs found with provided prefix: abc"}),
    "gone": (404, {"message": "No such container: gone"}),
    "broken": (500, {"message": "the disk is full"}),
}
"""What the engine says of containers."""

SAID = {
    "stopped": "container stopped is not running",
    "on-host": "container on-host has no network of its own",
    "abc": "container abc is ambiguous",
    "gone": "there is no container gone",
    "broken": "the disk is full",
}


@contextmanager
def answering(answer: bytes | None) -> Iterator[str]:
    """A server that gives everybody the same answer; None: that says nothing."""
    server = listeners.silent() if answer is None else listeners.serving(listeners.saying(answer))
    with server as port:
        yield f"127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", "is not etcd's"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "is not etcd's"),
        (UNAUTHORISED, "insufficient credentials"),
        (None, "cannot reach etcd at"),
    ],
    ids=["no http", "wrong", "unauthorised", "silent"],
)
def test_an_etcd_that_is_none_or_lets_nobody_in_is_an_error_in_words(
    answer: bytes | None, message: str
) -> None:
    with answering(answer) as authority:
        assert message in Shell(authority).refused("profile add web")


class Answers(BaseHTTPRequestHandler):
    """Answers as an engine whose containers are in trouble."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        content: dict[str, object]
        if path.endswith("/version"):
            status, content = 200, {"ApiVersion": "1.41", "MinAPIVersion": "1.24"}
        else:
            name = path.removesuffix("/json").rpartition("/")[2]
            status, content = FOUND[name]
            if status == 200:
                content = inspected(name) | content
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: the peer of a Unix socket has no address to be named."""


def inspected(name: str) -> dict[str, object]:
    return {
        "Id": name.encode().hex().ljust(64, "0"),
        "Name": f"/{name}",
        "State": {"Running": True, "Pid": 1},
        "Config": {"Env": [], "Hostname": name, "Domainname": ""},
        "HostConfig": {"NetworkMode": "none"},
    }


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[str]:
    """Where that engine is."""
    path = tmp_path / "engine"
    with ThreadingUnixStreamServer(str(path), Answers) as server:
        server.daemon_threads = True
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        yield f"unix://{path}"
        server.shutdown()
        serving.join()


@pytest.mark.parametrize(
    "line",
    [
        lambda name: f"container add {name} ipv4",
        lambda name: f"container {name} ip add 192.168.0.5",
    ],
    ids=["add", "ip add"],
)
def test_a_container_that_cannot_have_a_network_is_an_error_in_words(
    shell: Shell, etcd, engine: str, line: Callable[[str], str]
) -> None:
    shell.done("pool add 192.168.0.0/16")
    before = etcd.keys()
    for name, message in SAID.items():
        assert message in shell.refused(line(name), DOCKER_HOST=engine)
    assert etcd.keys() == before


def test_a_docker_whose_socket_one_may_not_use_is_an_error_in_words(
    shell: Shell, engine: str
) -> None:
    Path(engine.removeprefix("unix://")).chmod(0)
    # what lets root use it all the same
    outsider = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
    for line in ("container add web ipv4", "container remove web", "node stop"):
        refused = Shell(shell.authority, before=outsider).refused(line, DOCKER_HOST=engine)
        assert "cannot reach the Docker Engine" in refused
        assert "permission denied" in refused
