"""The Debian package: installed, upgraded, removed and purged; with its service under systemd."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from calico_ctl import __version__
from tests.support import command, frozen, service_manager
from tests.support.frozen import Frozen, Root
from tests.support.host import Host
from tests.support.lab import Lab
from tests.support.paths import CHECKOUT

pytestmark = pytest.mark.system

SETTINGS = "etc/default/calicoctl"
UNIT = "usr/lib/systemd/system/calico-node.service"
AS_THE_SERVICE_DOES = """
set -a
. /etc/default/calicoctl
exec calicoctl node --detach=false --ip=10.0.0.1 $CALICO_NODE_OPTIONS
"""
INSTALLED = (
    "usr/bin/calicoctl",
    UNIT,
    SETTINGS,
    "usr/share/man/man8/calicoctl.8.gz",
    "usr/share/bash-completion/completions/calicoctl",
    "usr/share/zsh/vendor-completions/_calicoctl",
    "usr/share/fish/vendor_completions.d/calicoctl.fish",
    "usr/share/doc/calicoctl/copyright",
    "usr/share/doc/calicoctl/sbom.cdx.json.gz",
)


LATER = f"{__version__}+later"
VERSIONS = (__version__, LATER)
LOG = "run/calico-node.log"
UNITS = {
    # it runs already, and not by systemd
    "docker.service": "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=docker version\n",
    "calico-node.service.d/log.conf": f"[Service]\nStandardOutput=append:/{LOG}\n",
}


@pytest.fixture(scope="module")
def packages(frozen_calicoctl: Frozen) -> Iterator[dict[str, Path]]:
    """Two versions of the package."""
    place = Path(tempfile.mkdtemp(prefix="calico-deb-", dir="/var/tmp"))
    try:
        yield {version: pack(version, place) for version in VERSIONS}
    finally:
        shutil.rmtree(place)


def pack(version: str, place: Path) -> Path:
    packed = command.run([str(CHECKOUT / "scripts/deb"), version]).out.strip()
    return Path(shutil.move(CHECKOUT / packed, place / f"{version}.deb"))


@pytest.fixture(scope="module")
def debian(packages: dict[str, Path]) -> Iterator[Root]:
    """A Debian that has both in /."""
    with frozen.debian() as root:
        for package in packages.values():
            shutil.copy(package, root.path)
        yield root


def test_its_life_from_installation_to_purge(debian: Root) -> None:
    debian.run("dpkg", "-i", f"/{__version__}.deb")
    assert [path for path in INSTALLED if not debian.has(path)] == []
    assert debian.run("dpkg", "--verify", "calicoctl").out == ""
    assert debian.run("calicoctl", "version").out == f"{__version__}\n"
    debian.run("bash", "-n", "/usr/share/bash-completion/completions/calicoctl")
    assert ".SH NAME" in debian.run("zcat", "/usr/share/man/man8/calicoctl.8.gz").out
    started = debian.run("sh", "-c", AS_THE_SERVICE_DOES, check=False)
    assert (started.code, started.out) == (1, "")
    assert "cannot reach the Docker Engine" in started.err

    settings = debian.path / SETTINGS
    settings.write_text("ETCD_AUTHORITY=10.0.0.1:2379\n")
    debian.run("dpkg", "-i", f"/{LATER}.deb")
    assert debian.run("dpkg-query", "-W", "-f=${Version}", "calicoctl").out.endswith("+later")
    assert settings.read_text() == "ETCD_AUTHORITY=10.0.0.1:2379\n"

    debian.run("dpkg", "-r", "calicoctl")
    assert [path for path in INSTALLED if debian.has(path)] == [SETTINGS]
    debian.run("dpkg", "-P", "calicoctl")
    assert not debian.has(SETTINGS)
    assert not debian.has("usr/lib/calicoctl")


def test_its_service_runs_the_node_and_goes_with_the_package(
    packages: dict[str, Path], lab1: Lab
) -> None:
    """Where systemd is process 1: enabled, started, upgraded while it runs, removed."""
    (host,) = lab1.hosts
    systemd = service_manager.start(host, UNITS)
    for package in packages.values():
        shutil.copy(package, host.directory)

    def dpkg(*arguments: str) -> None:
        # of what dpkg writes, only /usr, /etc and what it knows are the host's alone
        systemd.run("dpkg", "--log=/dev/null", "--no-triggers", "--force-unsafe-io", *arguments)

    dpkg("--install", f"{host.directory}/{__version__}.deb")
    assert systemd.run("systemd-analyze", "verify", "calico-node.service").text == ""
    assert systemd.ask("is-enabled", "calico-node") == "disabled"
    options = f"--ip={host.ip} --with-etcd"
    Path(f"/proc/{systemd.pid}/root/{SETTINGS}").write_text(f"CALICO_NODE_OPTIONS={options}\n")
    systemd.run("systemctl", "enable", "--now", "calico-node")
    wait_for_starts(host, 1)
    before = systemd.ask("show", "--value", "--property=MainPID", "calico-node")
    host.calicoctl("status", "--wait=60")

    dpkg("--install", f"{host.directory}/{LATER}.deb")
    wait_for_starts(host, 2)
    assert systemd.ask("show", "--value", "--property=MainPID", "calico-node") != before
    assert systemd.ask("is-active", "calico-node") == "active"

    dpkg("--remove", "calicoctl")
    assert systemd.ask("is-active", "calico-node") == "inactive"
    assert systemd.ask("is-enabled", "calico-node") != "enabled"
    assert host.run("docker ps --all --quiet --filter name=calico-node", quiet=True).out == ""
    assert "Traceback" not in log_of(host)


def log_of(host: Host) -> str:
    return Path(f"/proc/{host.pid}/root/{LOG}").read_text()


def wait_for_starts(host: Host, times: int) -> None:
    line = f"calico-node is running ({host.name}: {host.ip})"
    command.wait_until(lambda: log_of(host).count(line) == times, 60, f"the node runs, {times}")
