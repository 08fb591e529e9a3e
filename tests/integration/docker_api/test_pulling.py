"""A pull that stands still, by docker-py from an engine that stands still in the middle of it."""

from pathlib import Path

import pytest

from calico_ctl.docker_api import image, pulling
from calico_ctl.docker_api.client import Engine
from calico_ctl.errors import DockerError
from tests.support.fake_engine import FakeEngine, Peer

VERSION = b'{"ApiVersion": "1.41"}'
BEGINS = b'{"status": "Pulling from web"}\r\n'


def stands_still(peer: Peer) -> None:
    """Tell the version; begin to pull, and say no more."""
    while b"/images/create" not in ask(peer):
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        peer.send(head % len(VERSION) + VERSION)
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    peer.send(head + b"%x\r\n%s\r\n" % (len(BEGINS), BEGINS))
    peer.wait_for_end()


def ask(peer: Peer) -> bytes:
    return repr(peer.request()).encode()


def test_a_pull_of_which_nothing_more_is_heard_ends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pulling, "LONGEST_SILENCE", 1)
    path = tmp_path / "engine"
    with FakeEngine(path, stands_still):
        engine = Engine({"DOCKER_HOST": f"unix://{path}"})
        with pytest.raises(
            DockerError, match=r"cannot pull r:5/web:1: nothing more .* 1 s"
        ) as said:
            image._pull(engine, "r:5/web:1", print)
        engine.close()
    assert "node image load" in said.value.hint
