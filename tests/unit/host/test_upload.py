"""A file goes to a server by PUT: a real one on loopback."""

import base64
import http.server
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

import pytest

from calico_ctl.errors import CalicoError, InvalidValue
from calico_ctl.host import upload

CONTENT = os.urandom(200_000)


@dataclass
class Receiver:
    """A server that takes what is put, and how it shall answer."""

    status: int = 201
    answer: bytes = b"https://files.example.org/d.tar.gz\n"
    location: str = ""
    port: int = 0
    got: list[tuple[str, bytes, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            made.got.append((self.path, content, self.headers.get("Authorization", "")))
            self.send_response(made.status)
            if made.location:
                self.send_header("Location", made.location)
            self.send_header("Content-Length", str(len(made.answer)))
            self.end_headers()
            self.wfile.write(made.answer)

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        made.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        server.shutdown()
        thread.join(60)


@pytest.fixture
def file() -> Iterator[int]:
    descriptor = os.memfd_create("content")
    os.write(descriptor, CONTENT)
    yield descriptor
    os.close(descriptor)


def put(url: str, file: int) -> str:
    return upload.put(upload.parse(url, "--upload", "d.tar.gz"), file, len(CONTENT))


def test_the_file_arrives_and_the_answer_is_told(receiver, file):
    assert put(f"{receiver.url}/incoming/", file) == "https://files.example.org/d.tar.gz"
    assert receiver.got == [("/incoming/d.tar.gz", CONTENT, "")]
    # The descriptor stays where it was: the file can be sent again.
    put(f"{receiver.url}/x?a=b", file)
    assert receiver.got[1][:2] == ("/x?a=b", CONTENT)


def test_a_login_in_the_address_becomes_a_header_and_is_not_shown(receiver, file):
    url = f"http://joe:p%40ss@127.0.0.1:{receiver.port}/"
    assert "p%40ss" not in str(upload.parse(url, "--upload", "d"))
    put(url, file)
    assert receiver.got[0][2] == f"Basic {base64.b64encode(b'joe:p@ss').decode()}"


@pytest.mark.parametrize("status", [301, 403, 500])
def test_any_other_answer_is_an_error(receiver, file, status):
    receiver.status, receiver.answer = status, b"go away\nplease\n"
    with pytest.raises(CalicoError, match=f"refused the upload: {status} .*go away"):
        put(f"{receiver.url}/x", file)


def test_a_redirect_is_not_followed_but_told(receiver, file):
    receiver.status, receiver.location = 307, "http://127.0.0.1:9/elsewhere"
    with pytest.raises(CalicoError) as caught:
        put(f"{receiver.url}/x", file)
    assert caught.value.hint == "it names another address: http://127.0.0.1:9/elsewhere"


def test_where_nobody_listens_that_is_said(file):
    with closing(socket.socket()) as bound:
        # Bound but not listening: nobody else can be there.
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/x"
        with pytest.raises(CalicoError, match=r"cannot upload to .*: Connection refused"):
            put(url, file)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.org/x",
        "ftp://example.org/x",
        "http://",
        "http://h:99999/",
        "http://h:x/",
        "http://[::1/",
    ],
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(InvalidValue, match="--upload"):
        upload.parse(text, "--upload", "d.tar.gz")


@pytest.mark.parametrize("text", ["ftp://joe:hunter2@h/x", "http://joe:hunter2@h/a b"])
def test_a_refused_address_does_not_show_its_password(text):
    with pytest.raises(InvalidValue) as caught:
        upload.parse(text, "--upload", "d")
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://[fd00::1]:8443/in/", "https://[fd00::1]:8443/in/d"),
        ("http://h", "http://h/d"),
        ("http://h/in?x=1", "http://h/in?x=1"),
    ],
)
def test_an_address_is_shown_as_it_is_used(text, shown):
    assert str(upload.parse(text, "--upload", "d")) == shown
