"""diags as a process: no secret leaves, nothing broken stops it, one download and no more."""

import base64
import http.client
import json
import os
import re
import signal
import socketserver
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar
from urllib.parse import urlsplit

import pytest

from tests.support import command
from tests.support.bundle import contents
from tests.support.cli import Finished
from tests.support.etcd import Etcd
from tests.support.netns import NetNs
from tests.support.paths import CHECKOUT
from tests.support.planted import given_away
from tests.support.shell import Shell

NOWHERE = {"ETCD_AUTHORITY": "127.0.0.1:1", "DOCKER_HOST": "unix:///nowhere/docker.sock"}
PATIENCE = 50.0

PLANTED = {
    name: f"planted-{name}-7f3a"
    for name in (
        *("etcd", "etcdfile", "bgp", "token", "plain", "cmd", "registry", "log", "url", "bird"),
        *("health", "nodeenv", "key", "upload", "identity", "label", "option", "proxy"),
    )
}
LOGIN = base64.b64encode(f"joe:{PLANTED['registry']}".encode()).decode()
LABELS = {
    "db.pass": PLANTED["label"],
    "start": f"serve --db-password {PLANTED['option']}",
    "proxy": f"joe:{PLANTED['proxy']}@proxy:3128",
}
WEB = {
    "Id": "1" * 64,
    "Name": "/web",
    "Args": [PLANTED["cmd"]],
    "State": {"Running": True, "Health": {"Log": [{"Output": PLANTED["health"]}]}},
    "Config": {
        "Env": [
            "CALICO_IP=192.168.1.5",
            f"TOKEN={PLANTED['token']}",
            f"GREETING={PLANTED['plain']}",
        ],
        "Cmd": ["serve", PLANTED["cmd"]],
        "Labels": LABELS,
    },
}
NODE = {
    "Id": "2" * 64,
    "Name": "/calico-node",
    "State": {"Running": True},
    "Config": {"Env": ["IP=10.99.0.1", f"ETCD_PASSWORD={PLANTED['nodeenv']}"], "Tty": False},
}
LISTED = [
    {
        "Id": each["Id"],
        "Names": [each["Name"]],
        "Command": f"serve {PLANTED['cmd']}",
        "Labels": LABELS,
    }
    for each in (WEB, NODE)
]
ANSWERS: list[tuple[str, object]] = [
    (r"/version$", {"Version": "24.0.7", "ApiVersion": "1.43", "MinAPIVersion": "1.12"}),
    (r"/info$", {"Containers": 2, "HttpProxy": f"http://joe:{PLANTED['url']}@proxy:3128"}),
    (r"/containers/json", LISTED),
    (rf"/containers/({WEB['Id']}|web)/json$", WEB),
    (rf"/containers/({NODE['Id']}|calico-node)/json$", NODE),
]


class Engine(BaseHTTPRequestHandler):
    """An engine with a container of Calico's and calico-node, in which nothing can be run."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        found = [answer for form, answer in ANSWERS if re.search(form, path)]
        self._say(200, found[0]) if found else self._refuse()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._refuse()

    def log_message(self, *arguments: object) -> None:
        pass

    def _refuse(self) -> None:
        self._say(404, {"message": "No such container: calico-node"})

    def _say(self, status: int, answer: object) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Engines(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@contextmanager
def engine(path: Path) -> Iterator[None]:
    """An engine at a socket."""
    with Engines(str(path), Engine) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join(PATIENCE)


@pytest.fixture
def planted(etcd: Etcd, tmp_path: Path) -> Iterator[Shell]:
    """A machine with a secret in every place where one may be."""
    peer = {"ip": "10.0.0.9", "as_num": 64512, "password": PLANTED["bgp"]}
    etcd.request("PUT", "/v2/keys/calico/Ready", "true")
    etcd.request("PUT", "/v2/keys/calico/bgp/v1/global/peer_v4/10.0.0.9", json.dumps(peer))
    (tmp_path / "password").write_text(PLANTED["etcdfile"] + "\n")
    (tmp_path / "password").chmod(0o600)
    registry = {"auth": LOGIN, "identitytoken": PLANTED["identity"]}
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"r.example.org": registry}}))
    logs = tmp_path / "logs/felix"
    logs.mkdir(parents=True)
    lines = [
        f"WARNING cannot reach http://joe:{PLANTED['log']}@10.0.0.1:2379",
        f"INFO by value: {PLANTED['etcdfile']} {PLANTED['bgp']} {PLANTED['nodeenv']} {LOGIN}",
        f"INFO more: {PLANTED['identity']}",
        f'protocol bgp a {{ password "{PLANTED["bird"]}"; }}',
        f"-----BEGIN PRIVATE KEY-----\n{PLANTED['key']}\n-----END PRIVATE KEY-----",
        "INFO what is no secret stays",
    ]
    (logs / "current").write_text("\n".join(lines) + "\n")
    # The path of a socket must not be long.
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, engine(Path(folder) / "d.sock"):
        yield Shell(
            etcd.authority,
            {
                "DOCKER_HOST": f"unix://{folder}/d.sock",
                "DOCKER_CONFIG": str(tmp_path),
                "ETCD_USERNAME": "calico-user",
                "ETCD_PASSWORD": PLANTED["etcd"],
                "ETCD_PASSWORD_FILE": str(tmp_path / "password"),
            },
        )


class Receiver(BaseHTTPRequestHandler):
    """A server of the operator's, which takes one file and says where it is."""

    taken: ClassVar[list[tuple[str, bytes]]] = []

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.taken.append((self.path, content))
        self.send_response(201)
        self.end_headers()
        self.wfile.write(b"https://files.example.org/7\n")

    def log_message(self, *arguments: object) -> None:
        pass


def test_no_secret_is_in_the_bundle_wherever_it_was_and_it_is_what_is_uploaded(
    planted: Shell, tmp_path: Path
):
    out = tmp_path / "out"
    out.mkdir()
    with HTTPServer(("127.0.0.1", 0), Receiver) as receiver:
        receiver.timeout = PATIENCE
        thread = Thread(target=receiver.handle_request)
        thread.start()
        url = f"http://joe:{PLANTED['upload']}@127.0.0.1:{receiver.server_port}/incoming/"
        line = f"diags --upload={url} --output-dir={out} --log-dir={tmp_path}/logs"
        finished = planted.run(line)
        thread.join(PATIENCE)
    assert finished.exit == 0
    assert finished.out.splitlines()[-1] == "https://files.example.org/7"
    (file,) = out.iterdir()
    assert Receiver.taken == [(f"/incoming/{file.name}", file.read_bytes())]
    assert "Traceback" not in finished.err
    assert f"file: {file} (" in finished.out
    assert file.stat().st_mode & 0o777 == 0o600
    texts = contents(file)
    said = {**texts, "stdout": finished.out, "stderr": finished.err}
    assert given_away(said, PLANTED | {"login": LOGIN}) == set()
    # And what is none is there: a bundle with nothing in it would pass too.
    assert "INFO what is no secret stays" in texts["logs/felix/current"]
    assert '"as_num": 64512' in texts["etcd/calico"]
    assert "CALICO_IP=192.168.1.5" in texts["docker/inspect/web"]
    assert "IP=10.99.0.1" in texts["docker/inspect/calico-node"]
    assert "etcd: ok" in texts["checks"]
    assert "version 3." in texts["etcd/servers"]


def test_with_everything_broken_all_that_can_be_had_is_there_to_be_downloaded_once(
    private_netns: NetNs, tmp_path: Path
):
    line = f"diags --ip=127.0.0.1 --output-dir={tmp_path} --log-dir=/nowhere"
    finished = Shell("", NOWHERE).run(line)
    assert finished.exit == 0
    process = served_by(finished)
    try:
        url = urlsplit(finished.out.splitlines()[-1].removeprefix("URL: "))
        assert url.port is not None
        assert ask(url.port, "GET", "/") == (404, b"")
        assert ask(url.port, "HEAD", url.path) == (200, b"")
        status, downloaded = ask(url.port, "GET", url.path)
        assert status == 200
        (file,) = tmp_path.iterdir()
        assert downloaded == file.read_bytes()
        command.wait_until(lambda: has_ended(process), 8, "it serves no more")
        # The namespace is the test's own: nobody else can have got the port.
        with pytest.raises(ConnectionRefusedError):
            ask(url.port, "GET", url.path)
    finally:
        end(process)
    texts = contents(file)
    assert texts["etcd/calico"].startswith("not collected: cannot reach etcd at 127.0.0.1:1 (")
    assert texts["docker/info"].startswith("not collected: cannot reach the Docker Engine at unix:")
    assert texts["logs"] == "not collected: there is no folder /nowhere\n"
    assert "lo: <LOOPBACK" in texts["network/links"]
    assert "etcd: failed" in texts["checks"]
    assert set(texts["contents"].split()) > {"etcd/calico", "network/links"}


def test_what_nobody_downloads_expires(private_netns: NetNs, tmp_path: Path):
    finished = Shell("", NOWHERE).run(
        f"diags --ip=127.0.0.1 --expires=500ms --output-dir={tmp_path} --log-dir=/nowhere"
    )
    assert finished.exit == 0
    process = served_by(finished)
    try:
        command.wait_until(lambda: has_ended(process), 8, "it serves no more")
    finally:
        end(process)
    url = urlsplit(finished.out.splitlines()[-1].removeprefix("URL: "))
    assert url.port is not None
    with pytest.raises(ConnectionRefusedError):
        ask(url.port, "GET", url.path)
    assert len(list(tmp_path.iterdir())) == 1


def test_who_waits_has_the_prompt_back_once_it_is_downloaded(private_netns: NetNs, tmp_path: Path):
    line = f"diags --ip=127.0.0.1 --wait --output-dir={tmp_path} --log-dir=/nowhere".split()
    environment = {"PATH": os.environ["PATH"], **NOWHERE}
    with subprocess.Popen(
        [sys.executable, CHECKOUT / "calicoctl.py", *line],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        found = next(each for each in process.stdout if each.startswith("URL: "))
        url = urlsplit(found.removeprefix("URL: ").strip())
        assert url.port is not None
        status, downloaded = ask(url.port, "GET", url.path)
        assert process.wait(PATIENCE) == 0
    assert status == 200
    assert downloaded == next(tmp_path.iterdir()).read_bytes()


def test_who_waited_for_nobody_is_told(private_netns: NetNs, tmp_path: Path):
    line = f"diags --ip=127.0.0.1 --wait --expires=500ms --output-dir={tmp_path} --log-dir=/nowhere"
    finished = Shell("", NOWHERE).run(line)
    assert finished.exit == 1
    assert "error: nobody downloaded it within 0.5 s" in finished.err
    url = urlsplit(finished.out.splitlines()[-1].removeprefix("URL: "))
    assert url.port is not None
    with pytest.raises(ConnectionRefusedError):
        ask(url.port, "GET", url.path)


def ask(port: int, verb: str, path: str) -> tuple[int, bytes]:
    """Ask for a path; an error page counts as nothing."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
        connection.request(verb, path)
        answer = connection.getresponse()
        content = answer.read()
        return answer.status, content if answer.status == 200 else b""


def served_by(finished: Finished) -> int:
    found = re.search(r"`kill ([0-9]+)` ends it earlier", finished.err)
    assert found is not None, finished
    return int(found[1])


def has_ended(process: int) -> bool:
    """Whether it is gone, or waits only for somebody to notice."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def end(process: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGTERM)
