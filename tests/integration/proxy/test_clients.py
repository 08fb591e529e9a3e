"""Real clients through the proxy: an old and a current docker command, docker-py, docker-compose.

Detach keys are not typed here: over TCP, Docker's own client waits for ever after them, with an
engine that listens itself as well. What goes over the wire then is tested with the streams.
"""

import contextlib
import io
import json
import shutil
import tarfile
import time
from pathlib import Path

import docker
import docker.errors
import pytest

from tests.support import command, terminal
from tests.support.command import Result, wait_until
from tests.support.differential import new_name
from tests.support.engine import IMAGE

FOREVER = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


CURRENT = Path("/var/lib/calico-lab/docker-cli")
"""Where `scripts/current_docker_cli` has unpacked a current client, and its plugin buildx."""
BUILDX = CURRENT / "usr/libexec/docker/cli-plugins/docker-buildx"


def docker_command(which: str) -> str:
    """Return the path of one of Docker's clients: the distribution's, or a current one."""
    if which == "current":
        fetched = str(CURRENT / "usr/bin/docker")
        found = shutil.which(fetched) or shutil.which("docker", path="/usr/local/bin")
    else:
        found = shutil.which("docker", path="/usr/bin") or shutil.which("docker")
    if found is None:
        pytest.skip(
            f"there is no {which} docker client here: scripts/current_docker_cli fetches one"
        )
    return found


class Client:
    """One version of the command, talking to one address."""

    def __init__(self, program: str, host: str, home: Path) -> None:
        self.program = program
        self.environment = command.clean_environment({"DOCKER_HOST": host, "HOME": str(home)})
        self._plugins = home / ".docker/cli-plugins"

    def __call__(self, *arguments: str, check: bool = True, stdin: str = "") -> Result:
        argv = [self.program, *arguments]
        return command.run(argv, env=self.environment, check=check, stdin=stdin)

    def lacks_buildkit(self) -> bool:
        """Say whether it is one that leaves BuildKit to a plugin (from 23 on), and none is here.

        The one that was fetched is put where the client looks for it, if it needs one.
        """
        major = int(self("--version").out.split()[2].split(".")[0])
        if major < 23:
            return False
        if BUILDX.exists():
            self._plugins.mkdir(parents=True)
            (self._plugins / BUILDX.name).symlink_to(BUILDX)
        return self("buildx", "version", check=False).code != 0

    def on_terminal(self, *arguments: str) -> contextlib.AbstractContextManager[terminal.Terminal]:
        return terminal.running([self.program, *arguments], self.environment)


@pytest.fixture(params=["distribution", "current"])
def client(request, proxy, tmp_path) -> Client:
    return Client(docker_command(request.param), proxy.docker_host, tmp_path)


@pytest.fixture
def name(both):
    chosen = new_name()
    yield chosen
    both.ask(f"DELETE /containers/{chosen}?force=1")


def test_a_container_runs_and_its_output_and_exit_code_come(client):
    # With another network an engine warns if the machine does not forward.
    run = ("run", "--rm", "--net=none", IMAGE, "sh", "-c")
    done = client(*run, "echo one; echo two >&2; exit 7", check=False)
    assert (done.out, done.err, done.code) == ("one\n", "two\n", 7)


def test_a_container_runs_in_the_background(client, name):
    asked = ["run", "--detach", "--net", "none", "--name", name, IMAGE, "sh", "-c", FOREVER]
    container_id = client(*asked).out.strip()
    assert container_id[:12] in client("ps").out
    assert client("exec", name, "echo", "inside").out == "inside\n"
    assert client("exec", "--interactive", name, "cat", stdin="typed\n").out == "typed\n"
    assert client("top", name).out.count("\n") >= 2
    assert client("stop", name).out.strip() == name
    assert client("wait", name).out == "0\n"
    assert client("start", name).out.strip() == name
    assert client("restart", "-t", "2", name).out.strip() == name
    assert client("rename", name, f"{name}-2").code == 0
    assert client("rm", "--force", f"{name}-2").out.strip() == f"{name}-2"


def test_input_that_ends_reaches_the_container(client):
    done = client("run", "--rm", "--interactive", IMAGE, "wc", "-c", stdin="x" * 3_000_000)
    assert done.out.strip() == "3000000"


def test_a_shell_is_used_on_a_terminal(client):
    with client.on_terminal("run", "--rm", "-it", "--hostname", "web", IMAGE, "sh") as screen:
        screen.read_until(b"/ # ")
        screen.type(b"echo a-$((1+1))\n")
        screen.read_until(b"\r\na-2\r\n")
        screen.read_until(b"/ # ")
        screen.type(b"exit 5\n")
        assert screen.wait() == 5


def test_a_shell_in_the_background_is_attached_to(client, name):
    client("run", "--detach", "-it", "--name", name, IMAGE, "sh")
    with client.on_terminal("attach", name) as screen:
        screen.type(b"echo b-$((1+1))\n")
        screen.read_until(b"b-2")
        screen.type(b"exit 3\n")
        assert screen.wait() == 3


def test_a_program_runs_on_a_terminal_in_a_running_container(client, name):
    client("run", "--detach", "--name", name, IMAGE, "sh", "-c", FOREVER)
    with client.on_terminal("exec", "-it", name, "sh") as screen:
        screen.read_until(b"/ # ")
        screen.type(b"exit 4\n")
        assert screen.wait() == 4


def test_logs_are_followed(client, name):
    client(
        "run", "-d", "--name", name, IMAGE, "sh", "-c", "for i in 1 2 3; do echo $i; sleep .2; done"
    )
    assert client("logs", "--follow", name).out == "1\n2\n3\n"


def test_files_are_copied_in_and_out(client, name, tmp_path):
    client("run", "--detach", "--name", name, IMAGE, "sh", "-c", FOREVER)
    there, back = tmp_path / "there", tmp_path / "back"
    there.write_bytes(bytes(range(256)) * 10_000)
    client("cp", str(there), f"{name}:/tmp/file")
    client("cp", f"{name}:/tmp/file", str(back))
    assert back.read_bytes() == there.read_bytes()


@pytest.mark.parametrize("buildkit", ["0", "1"])
def test_an_image_is_built(client, buildkit, tmp_path):
    if buildkit == "1" and client.lacks_buildkit():
        # Asked of the client alone: no failure of the proxy can look like this.
        pytest.skip("this client builds with BuildKit only with its plugin buildx")
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(f"FROM {IMAGE}\nCOPY big /big\nRUN wc -c /big > /size\n")
    (context / "big").write_bytes(bytes(2_000_000))
    client.environment["DOCKER_BUILDKIT"] = buildkit
    tag = f"{new_name()}:1"
    done = client("build", "--network", "none", "--tag", tag, str(context), check=False)
    assert done.code == 0, done.text
    try:
        assert client("run", "--rm", tag, "cat", "/size").out == "2000000 /big\n"
    finally:
        client("image", "rm", tag)


def test_an_image_is_saved_and_loaded(client):
    tag = f"{new_name()}:1"
    client("tag", IMAGE, tag)
    pipe = f'"$0" save {tag} | "$0" load'
    argv = ["sh", "-c", pipe, client.program]
    assert tag in command.run(argv, env=client.environment).out
    client("image", "rm", tag)


def test_events_are_told(client, name):
    # Since now: what happens before the client listens is told too.
    since = ("--since", str(int(time.time())))
    with client.on_terminal("events", *since, "--filter", f"container={name}") as screen:
        client("run", "--name", name, IMAGE, "true")
        screen.read_until(b"container die")


# Containers of Calico's.


@pytest.mark.parametrize("network", [[], ["--net=host"], ["--net=none"], ["--net=container:x"]])
def test_a_calico_container_has_its_address_and_no_other_network(client, proxy, name, network):
    environment = ["-e", "CALICO_IP=10.65.0.5", "-e", "CALICO_PROFILE=web"]
    asked = ["run", "--detach", *network, *environment, "--name", name, IMAGE]
    container_id = client(*asked, "sh", "-c", FOREVER).out.strip()
    for said in ("check 10.65.0.5 web", f"reserve {container_id}", f"connect {container_id}"):
        assert proxy.said(said), said
    shown = json.loads(client("inspect", name).out)[0]
    assert shown["HostConfig"]["NetworkMode"] == "none"
    assert shown["NetworkSettings"]["Networks"]["calico"]["IPAddress"] == "10.65.0.5"
    every = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    assert client("inspect", "--format", every, name).out == "10.65.0.5\n"
    directly = "{{.NetworkSettings.IPAddress}}/{{.NetworkSettings.IPPrefixLen}}"
    assert client("inspect", "--format", directly, name).out == "10.65.0.5/32\n"
    listed = client("ps", "--filter", f"name={name}", "--format", "{{.Networks}}")
    assert listed.out == "calico\n"
    client("rm", "--force", name)
    assert proxy.said(f"release {container_id}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-e", "CALICO_IP=10.65.0.256"], "invalid CALICO_IP"),
        (["-e", "CALICO_IP=10.65.0.99"], "10.65.0.99 is taken; choose another"),
        (["-e", "CALICO_IP=10.65.0.98"], "no address is left"),
        (["-e", "CALICO_IP=10.65.0.97"], "the agent does not answer; look at its log"),
        (["-e", "CALICO_IP=10.65.0.5", "-p", "80:80"], "own address 10.65.0.5"),
        (["-e", "CALICO_IP=auto", "--expose=80", "-P"], "invalid published ports 'all'"),
    ],
)
def test_what_cannot_be_is_told(client, name, arguments, message):
    done = client("run", "--detach", *arguments, "--name", name, IMAGE, "sh", check=False)
    assert done.code in {125, 126, 127}
    assert "Error response from daemon: " in done.err
    assert message in done.err


# docker-py and docker-compose.


@pytest.fixture
def library(proxy):
    found = docker.DockerClient(base_url=proxy.docker_host)
    yield found
    found.close()


def test_docker_py_does_its_work(library, name):
    container = library.containers.run(
        IMAGE, ["sh", "-c", FOREVER], name=name, detach=True, environment={"CALICO_IP": "10.65.0.6"}
    )
    container.reload()
    networks = container.attrs["NetworkSettings"]["Networks"]
    assert next(iter(networks.values()))["IPAddress"] == "10.65.0.6"
    assert container.exec_run(["echo", "inside"]).output == b"inside\n"
    assert container.put_archive("/tmp", _archive("file", b"content"))
    pieces, _ = container.get_archive("/tmp/file")
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as found:
        member = found.extractfile("file")
        assert member
        assert member.read() == b"content"
    assert container in library.containers.list()
    assert next(container.stats(decode=True))["read"]
    container.stop(timeout=5)
    assert container.wait()["StatusCode"] == 0
    container.remove()


def test_docker_py_attaches_and_follows(library, name):
    made = library.containers.create(IMAGE, "cat", name=name, stdin_open=True, detach=True)
    attached = made.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    made.start()
    wire = attached._sock
    wire.sendall(b"hello\n")
    wait_until(lambda: made.logs() == b"hello\n", 10, "cat repeats it")
    attached.close()
    wire.close()
    made.kill()
    assert list(made.logs(stream=True, follow=True)) == [b"hello\n"]


def test_docker_py_is_told_what_cannot_be(library):
    with pytest.raises(docker.errors.APIError) as told:
        library.containers.create(IMAGE, environment=["CALICO_IP=nonsense"])
    assert told.value.status_code == 400
    assert "CALICO_IP" in str(told.value.explanation)


def _archive(name: str, content: bytes) -> bytes:
    with io.BytesIO() as stream:
        with tarfile.open(fileobj=stream, mode="w") as made:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            made.addfile(entry, io.BytesIO(content))
        return stream.getvalue()


COMPOSE = f"""
version: "2.4"
services:
  web:
    image: {IMAGE}
    command: ["sh", "-c", "{FOREVER}"]
    network_mode: NETWORK
    environment: [CALICO_IP=10.65.0.7]
  other:
    image: {IMAGE}
    command: ["sh", "-c", "echo from other; {FOREVER}"]
    network_mode: none
"""


LINE = "    network_mode: NETWORK\n"


class Project:
    """A project of docker-compose's, talking to the proxy."""

    def __init__(self, folder: Path, host: str, network_mode: str) -> None:
        self.file = folder / "docker-compose.yml"
        self.file.write_text(COMPOSE.replace(LINE, network_mode))
        self.name = folder.name.replace("_", "")
        self.environment = command.clean_environment({"DOCKER_HOST": host})

    def __call__(self, *arguments: str) -> str:
        project = ["--project-name", self.name, "--file", str(self.file)]
        argv = ["docker-compose", "--ansi", "never", *project, *arguments]
        return command.run(argv, env=self.environment).out


def test_docker_compose_brings_a_project_up_and_down(proxy, both, tmp_path):
    """With the network that it makes for a project: containers are made first, then they join."""
    compose = Project(tmp_path, proxy.docker_host, "")
    try:
        compose("up", "--detach")
        containers = compose("ps", "--quiet").split()
        assert len(containers) == 2
        web = compose("ps", "--quiet", "web").strip()
        assert proxy.said(f"connect {web}") == 1
        wait_until(lambda: "from other" in compose("logs", "other"), 10, "it has spoken")
        assert compose("exec", "-T", "web", "echo", "inside") == "inside\n"
        compose("restart", "--timeout", "5", "web")
        assert proxy.said(f"connect {web}") == 2
        compose("up", "--detach")
        assert compose("ps", "--quiet").split() == containers
    finally:
        compose("down", "--timeout", "5")
    assert both.ask(f"GET /containers/{web}/json").status == 404
    assert proxy.said(f"release {web}")


@pytest.mark.parametrize("network", ["none", "host", "bridge", '"service:other"'])
def test_docker_compose_brings_up_a_container_with_any_network(proxy, both, tmp_path, network):
    compose = Project(tmp_path, proxy.docker_host, LINE.replace("NETWORK", network))
    try:
        compose("up", "--detach")
        web = compose("ps", "--quiet", "web").strip()
        assert proxy.said(f"connect {web}") == 1
        engines = json.loads(both.ask(f"GET /containers/{web}/json").body)
        assert [*engines["NetworkSettings"]["Networks"]] == ["none"]
    finally:
        compose("down", "--timeout", "5")
    assert proxy.said(f"release {web}")
