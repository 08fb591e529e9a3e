"""The program that needs no Python: where there is none, with a bad /tmp, interrupted, on hosts."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from calico_ctl import __version__
from calico_ctl.docker_api import build_context
from calico_ctl.docker_api.image import DEFAULT_IMAGE
from tests.support import command, frozen
from tests.support.frozen import Frozen, Root
from tests.support.host import Host
from tests.support.lab import Lab
from tests.support.paths import CHECKOUT
from tests.support.registry import Registry

pytestmark = pytest.mark.system

LARGEST = 25_000_000
UNUSED_PID = 0x7FFFFFFF
"""More than the kernel ever gives."""


@pytest.fixture(scope="module")
def debian(frozen_calicoctl: Frozen) -> Iterator[Root]:
    with frozen.debian() as root:
        place = root.path / "usr/local/bin/calicoctl"
        place.write_bytes(frozen_calicoctl.file.read_bytes())
        place.chmod(0o755)
        yield root


def test_what_is_built_is_small_enough_and_described(frozen_calicoctl: Frozen) -> None:
    assert frozen_calicoctl.file.stat().st_size <= LARGEST
    command.run(["sh", "-c", f"cd {frozen_calicoctl.dist} && sha256sum -c SHA256SUMS"])
    (bill,) = frozen_calicoctl.dist.glob("*.cdx.json")
    parts = {each["name"]: each for each in json.loads(bill.read_text())["components"]}
    assert {"docker", "netaddr", "CPython", "pyinstaller", "libcrypto.so.3"} <= set(parts)
    lines = (CHECKOUT / "requirements.txt").read_text().splitlines()
    assert f"docker=={parts['docker']['version']}" in lines


def test_what_nobody_asks_for_is_left_out(frozen_calicoctl: Frozen) -> None:
    """Symbols for debuggers, and modules of Python's that no command uses."""
    inside = [path for path in frozen_calicoctl.directory.rglob("*") if path.is_file()]
    programs = [path for path in inside if ".so" in path.name or path.name == "calicoctl"]
    asked = ["objdump", "-t", *map(str, [*programs, frozen_calicoctl.file])]
    shown = command.run(asked, show="").out
    assert shown.count("\nno symbols\n") == len(programs) + 1 > 20
    names = {path.name.partition(".")[0] for path in inside}
    assert {"_ssl", "_socket"} <= names
    assert not {"_sqlite3", "_tkinter", "_curses", "readline"} & names


def test_it_carries_what_the_node_image_is_built_from(frozen_calicoctl: Frozen) -> None:
    inside = frozen_calicoctl.directory / "_internal"
    assert build_context.tar(inside, "ca") == build_context.tar(CHECKOUT, "ca")


def test_equal_sources_give_equal_files(frozen_calicoctl: Frozen) -> None:
    assert (frozen_calicoctl.dist / "SHA256SUMS").exists()
    again = command.run([str(CHECKOUT / "build_binary.sh"), "--compare"], env=os.environ)
    assert again.out.endswith("built twice, and both are equal\n")


def test_one_file_is_all_that_a_debian_needs(debian: Root) -> None:
    assert not debian.has("/usr/bin/python3")
    assert debian.run("calicoctl", "version").out == f"{__version__}\n"
    found = debian.run("calicoctl", "pool", "show", check=False)
    assert (found.code, found.out) == (1, "")
    assert "cannot reach etcd at 127.0.0.1:4001" in found.err
    asked = debian.path / "usr/local/bin/ip"
    asked.write_text("#!/bin/sh\nenv >>/environment\nexit 1\n")
    asked.chmod(0o755)
    found = debian.run("calicoctl", "checksystem", check=False)
    asked.unlink()
    assert "this is a bug" not in found.text
    variables = (debian.path / "environment").read_text()
    assert "PATH=" in variables
    assert "LD_LIBRARY_PATH" not in variables, "libraries of ours are for Python alone"
    assert "_PYI_" not in variables
    assert list((debian.path / "tmp").iterdir()) == []


def test_it_works_unchanged_in_a_newer_debian(frozen_calicoctl: Frozen) -> None:
    """All three forms: the one file, the directory, and the package."""
    with frozen.newer_debian() as debian:
        assert not debian.has("/usr/bin/python3")
        assert "trixie" in (debian.path / "etc/os-release").read_text()
        for built in (frozen_calicoctl.file, frozen_calicoctl.package):
            shutil.copy(built, debian.path)
        shutil.copytree(frozen_calicoctl.directory, debian.path / "directory", symlinks=True)
        debian.run("dpkg", "-i", f"/{frozen_calicoctl.package.name}")
        for program in ("/calicoctl", "/directory/calicoctl", "/usr/bin/calicoctl"):
            assert debian.run(program, "version").out == f"{__version__}\n"
            found = debian.run(program, "pool", "show", check=False)
            assert (found.code, found.out) == (1, "")
            assert "cannot reach etcd at 127.0.0.1:4001" in found.err
        found = debian.run("/calicoctl", "checksystem", check=False)
        assert "this is a bug" not in found.text
        # its libraries are taken by Python alone, not by what is newer here
        assert "GLIBC" not in found.text


@pytest.mark.parametrize(
    ("mounted", "said"),
    [("noexec", "Is /tmp noexec? Set TMPDIR"), ("size=4m", "in /tmp? Set TMPDIR elsewhere")],
)
def test_a_tmp_that_cannot_be_used_is_named(debian: Root, mounted: str, said: str) -> None:
    found = debian.run("calicoctl", "version", tmp=mounted, check=False)
    assert found.code != 0
    assert said in found.err
    elsewhere = {"TMPDIR": "/var/tmp"}
    assert debian.run("calicoctl", "version", tmp=mounted, env=elsewhere).out == f"{__version__}\n"


@contextmanager
def waiting(program: Path, tmp: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A command that has begun, and waits for an etcd that does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(120)
        settings = {
            "TMPDIR": str(tmp),
            "ETCD_AUTHORITY": f"127.0.0.1:{silent.getsockname()[1]}",
        }
        argv = [str(program), "pool", "show"]
        environment = command.clean_environment(settings)
        with subprocess.Popen(argv, env=environment, start_new_session=True) as process:
            try:
                connection, _ = silent.accept()
                with connection:
                    yield process
            finally:
                command.stop(process, signal.SIGKILL)


def test_an_interrupted_command_leaves_nothing(frozen_calicoctl: Frozen, tmp_path: Path) -> None:
    with waiting(frozen_calicoctl.file, tmp_path) as process:
        assert [path.name[:4] for path in tmp_path.iterdir()] == ["_MEI"]
        # As a terminal does it: all of them get it.
        os.killpg(process.pid, signal.SIGINT)
        code = process.wait(120)
    assert code in {130, -signal.SIGINT}
    assert list(tmp_path.iterdir()) == []


def test_what_killed_ones_left_is_removed_by_the_next(
    frozen_calicoctl: Frozen, tmp_path: Path
) -> None:
    folders = {
        "of one that is gone": tmp_path / f"_MEI{UNUSED_PID:08x}aaaaaa",
        "of one that runs": tmp_path / f"_MEI{os.getpid():08x}aaaaaa",
        "somebody else's": tmp_path / "_MEIxyz",
    }
    long_ago = time.time() - 3600
    for folder in folders.values():
        folder.mkdir()
        (folder / "libpython.so").touch()
        os.utime(folder, (long_ago, long_ago))
    recent = tmp_path / f"_MEI{UNUSED_PID:08x}bbbbbb"
    recent.mkdir()
    os.utime(recent, (time.time() + 3600,) * 2)
    environment = command.clean_environment({"TMPDIR": str(tmp_path)})
    command.run([str(frozen_calicoctl.file), "version"], env=environment)
    left = {folders["of one that runs"], folders["somebody else's"], recent}
    assert set(tmp_path.iterdir()) == left


def test_a_container_that_shares_tmp_leaves_what_runs_outside(
    frozen_calicoctl: Frozen, tmp_path: Path
) -> None:
    """There, the numbers of processes and their maps tell nothing of whoever runs outside."""
    with waiting(frozen_calicoctl.file, tmp_path):
        (folder,) = tmp_path.iterdir()
        inside = set(folder.iterdir())
        long_ago = time.time() - 3600
        os.utime(folder, (long_ago, long_ago))
        unshare = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
        environment = command.clean_environment({"TMPDIR": str(tmp_path)})
        command.run([*unshare, str(frozen_calicoctl.file), "version"], env=environment)
        assert set(folder.iterdir()) == inside


def test_on_a_host_with_docker_alone_it_does_everything(
    frozen_calicoctl: Frozen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image comes as a file or from a registry: the host has no network to build it."""
    monkeypatch.setenv("CALICOCTL", str(frozen_calicoctl.file))
    with Lab(1, node_image=True) as lab:
        (host,) = lab.hosts
        file = str(host.directory / "calico-node.tar")
        assert f"{DEFAULT_IMAGE} is in {file}" in host.calicoctl("node", "image", "save", file).out
        host.docker("rmi", DEFAULT_IMAGE)
        loaded = host.calicoctl("node", "image", "load", file)
        assert loaded.out == f"{DEFAULT_IMAGE} is there now\n"
        run_in_the_foreground(host)
        host.docker("rm", "-f", "calico-etcd")
        host.docker("rmi", DEFAULT_IMAGE)
        with Registry(host) as registry:
            registry.trusted_by(host)
            image = f"--node-image={registry.add(Path(file), 'calico/node', '1')}"
            pulled = host.calicoctl("node", f"--ip={host.ip}", "--with-etcd", image)
        assert ": Pull complete" in pulled.err
        host.docker("run", "-d", "--name", "web", "--net=none", "busybox", "sleep", "1d")
        host.calicoctl("container", "add", "web", "192.168.1.1")
        host.run("ping -c 1 -w 30 192.168.1.1")
        host.calicoctl("status", "--wait=60")
        host.docker("rm", "-f", "web")
        host.calicoctl("node", "stop", "--force")


def run_in_the_foreground(host: Host) -> None:
    """As the service of the Debian package runs it, and ends it: nothing of the node is left."""
    argv = ["calicoctl", "node", "--detach=false", f"--ip={host.ip}", "--with-etcd"]
    process = host.spawn(argv, "foreground.log")
    log = host.directory / "foreground.log"
    running = f"calico-node is running (host1: {host.ip})"
    command.wait_until(lambda: running in log.read_text(), 120, "the node runs")
    os.killpg(process.pid, signal.SIGINT)
    left = "docker ps --all --quiet --filter name=calico-node"
    command.wait_until(lambda: not host.run(left, quiet=True).out, 120, "calico-node is gone")
    assert "Traceback" not in log.read_text()
