"""Each line that a help gives as an example is run as it stands, in a shell, and works."""

import json
import re
import shlex
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from random import Random
from socket import gethostname
from socketserver import ThreadingUnixStreamServer
from threading import Thread

import pytest
from netaddr import IPAddress

from calico_ctl import grammar, usage_text
from calico_ctl.commands import COMMANDS
from calico_ctl.datastore import addresses, endpoints, nodes
from calico_ctl.datastore.etcd import Etcd, EtcdSettings
from calico_ctl.datastore.etcd_v3 import EtcdV3
from calico_ctl.model import names
from calico_ctl.model.endpoint import DOCKER, Endpoint, EndpointKey, State
from calico_ctl.model.node import Node
from tests.support import command, elsewhere
from tests.support.etcd import Etcd as ServerOfAll
from tests.support.paths import CHECKOUT
from tests.support.shell import RUNS, Shell

# What the examples of a command take for granted, as lines of calicoctl.
BEFORE = {
    "profile": ["profile add frontend"],
    "endpoint": ["profile add web", "profile add logger"],
    "bgp": [],
    "config": [],
    "apply": ["profile add web"],
    "diff": ["profile add web"],
    "export": ["profile add web", "profile add db"],
    "explain": ["profile add web", "profile web rule add inbound allow"],
    "ipam": ["pool add 192.168.0.0/16"],
}
# Endpoints that they name: the container, the endpoint's id, its address.
ENDPOINTS = (
    ("web", "1d9e9624cdb711e499bf08002737b14f", "192.168.1.1"),
    ("client", "2d9e9624cdb711e499bf08002737b14f", "192.168.1.2"),
    ("other", "3d9e9624cdb711e499bf08002737b14f", "192.168.1.5"),
)
PROFILE = """schema: 1
kind: profile
name: {0}
tags: [{0}]
rules: {{inbound: [allow from tag {0}], outbound: [allow]}}
"""
FILES = {
    "policy.yaml": PROFILE.format("web"),
    "web.yaml": PROFILE.format("web"),
    "pools.yaml": "schema: 1\nkind: pool\ncidr: 10.70.0.0/16\n",
    "profiles/db.yaml": PROFILE.format("db"),
    "bgp-password": "secret\n",
}


def examples(name: str) -> list[str]:
    return [line.strip() for line in grammar.section(usage_text.of(name), "Examples:")]


def command_words(name: str, line: str) -> list[str]:
    """The words of a form of a command that an example is of."""
    allowed = grammar.read(usage_text.of(name))
    typed = line.partition("calicoctl ")[2].partition(" |")[0].partition(" >")[0].split()
    words = grammar.scan(allowed, typed).words
    known = {leaf for each in allowed.patterns for leaf in grammar.leaves(each.node)}
    return [word for word in words if grammar.Word(word) in known]


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A directory with what the lines call: calicoctl itself, and a sudo for who is root."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for name, text in (
        ("calicoctl", f'exec {sys.executable} {CHECKOUT / "calicoctl.py"} "$@"'),
        ("sudo", 'exec "$@"'),
    ):
        program = directory / name
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    return directory


class Answers(BaseHTTPRequestHandler):
    """Answers as an engine that knows the containers."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        name = path.removesuffix("/json").rpartition("/")[2]
        if path.endswith("/version"):
            self.answer(200, {"ApiVersion": "1.41", "MinAPIVersion": "1.24"})
        elif name in {each[0] for each in ENDPOINTS}:
            self.answer(200, inspected(name))
        else:
            self.answer(404, {"message": f"No such container: {name}"})

    def answer(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: the peer of a Unix socket has no address to be named."""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[str]:
    """Where an engine is that knows the containers."""
    path = tmp_path / "engine"
    with ThreadingUnixStreamServer(str(path), Answers) as server:
        server.daemon_threads = True
        serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        yield f"unix://{path}"
        server.shutdown()
        serving.join()


def run_in(line: str) -> Iterator[tuple[str, ...]]:
    """Return the words of each calicoctl in a line of a shell."""
    for part in re.split(r"[|>]|\$\(|\)", line):
        if "calicoctl " in part:
            yield tuple(shlex.split(part.partition("calicoctl ")[2].rstrip('"')))


def here(line: str, directory: Path) -> str:
    """Return an example so that it writes to no home, and waits for nobody who may come yet."""
    line = line.replace("/root/", f"{directory}/")
    if re.search("ipam (check|release)", line):
        line = re.sub(r" --wait=\S+", "", line) + " --wait=0s"
    return line


def inspected(name: str) -> dict[str, object]:
    return {
        "Id": workload(name),
        "Name": f"/{name}",
        "State": {"Running": True, "Pid": 1},
        "Config": {"Env": [], "Hostname": name, "Domainname": ""},
        "HostConfig": {"NetworkMode": "none"},
    }


def workload(name: str) -> str:
    return name.encode().hex().ljust(64, "0")


def make_state(shell: Shell, name: str, directory: Path) -> None:
    for line in BEFORE.get(name, ()):
        shell.done(line)
    for path, text in FILES.items():
        file = directory / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    host, port = shell.authority.split(":")
    store = Etcd(EtcdSettings(host, int(port)))
    if name in {"endpoint", "explain"}:
        publish(store)
    if name in {"node", "datastore"}:
        nodes.register(store, Node("host3", IPAddress("10.99.0.3")))
    store.close()


@pytest.fixture
def only_v2(etcd: ServerOfAll) -> Iterator[None]:
    """The etcd of all tests is left with nothing in its v3 store."""
    yield
    host, port = etcd.authority.split(":")
    store = EtcdV3(EtcdSettings(host, int(port)))
    store.delete("/calico")
    store.close()


def lose_an_address(shell: Shell) -> None:
    """Give an address to an endpoint that does not exist."""
    host, port = shell.authority.split(":")
    store = Etcd(EtcdSettings(host, int(port)))
    addresses.claim(store, gethostname(), IPAddress("192.168.1.5"), "lost", Random(0))
    store.close()


def publish(store: Etcd) -> None:
    for container, id_, ip in ENDPOINTS:
        key = EndpointKey(gethostname(), DOCKER, workload(container), id_)
        interface = names.host_interface(id_)
        made = Endpoint(
            key, State.ACTIVE, interface, "aa:bb:cc:dd:ee:ff", ("web",), (IPAddress(ip),)
        )
        endpoints.create(store, made)


@pytest.mark.usefixtures("only_v2")
@pytest.mark.parametrize("name", [name for name in COMMANDS if COMMANDS[name].summary])
def test_every_example_works(shell, engine, programs, tmp_path, name) -> None:
    make_state(shell, name, tmp_path)
    lines = examples(name)
    assert lines
    for line in lines:
        option = "--counters" if "--counters" in line else ""
        if elsewhere.has(command_words(name, line), option):
            continue
        if name == "ipam":
            lose_an_address(shell)
        interpreter = ["fish", "--no-config"] if line.endswith("| source") else ["bash", "-e"]
        done = command.run(
            [*interpreter, "-c", f"cd {tmp_path}; {here(line, tmp_path)}"],
            env={
                "PATH": f"{programs}:/usr/sbin:/usr/bin:/sbin:/bin",
                "ETCD_AUTHORITY": shell.authority,
                "DOCKER_HOST": engine,
            },
            check=False,
            timeout=60,
        )
        assert done.code == 0, (line, done)
        RUNS.extend(run_in(line))
