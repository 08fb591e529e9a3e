"""The Debian package: installed, upgraded, removed and purged; with its service under systemd."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from calico_ctl import __version__
from tests.support import command, document, frozen, leftovers, service_manager
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


LATER = "1.0.1"
"""As the page about upgrades has it."""
LOG = "run/calico-node.log"
UNITS = {
    # it runs already, and not by systemd
    "docker.service": "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=docker version\n",
    "calico-node.service.d/log.conf": f"[Service]\nStandardOutput=append:/{LOG}\n",
}
HOW_TO = CHECKOUT / "docs/how-to"
EDITED = """#!/bin/sh
echo 'CALICO_NODE_OPTIONS="--ip=10.99.0.1 --with-etcd"' >>"$1"
"""
"""What somebody does in an editor."""
APT = """
APT::Get::Assume-Yes "true";
APT::Install-Recommends "false";
Dir::Log "/run/apt";
DPkg::Options {"--log=/dev/null"; "--force-unsafe-io"; "--no-triggers"};
"""
"""apt asks nobody, and writes no log into the machine's; there is nothing to download from."""


@pytest.fixture(scope="module")
def packages(frozen_calicoctl: Frozen) -> Iterator[dict[str, Path]]:
    """The package, and another version of it."""
    packed = command.run([str(CHECKOUT / "scripts/deb"), LATER]).out.strip()
    place = Path(tempfile.mkdtemp(prefix="calico-deb-", dir="/var/tmp"))
    try:
        later = Path(shutil.move(CHECKOUT / packed, place))
        yield {__version__: frozen_calicoctl.package, LATER: later}
    finally:
        shutil.rmtree(place)


@pytest.fixture(scope="module")
def debian(packages: dict[str, Path]) -> Iterator[Root]:
    """A Debian that has both in /."""
    with frozen.debian() as root:
        for version, package in packages.items():
            shutil.copy(package, root.path / f"{version}.deb")
        yield root


def test_its_life_from_installation_to_purge(debian: Root) -> None:
    debian.run("dpkg", "-i", f"/{__version__}.deb")
    assert [path for path in INSTALLED if not debian.has(path)] == []
    wanted = debian.path / "etc/systemd/system/multi-user.target.wants/calico-node.service"
    assert not wanted.is_symlink(), "the service is told first where etcd is"
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
    assert debian.run("dpkg-query", "-W", "-f=${Version}", "calicoctl").out == LATER
    assert settings.read_text() == "ETCD_AUTHORITY=10.0.0.1:2379\n"

    debian.run("dpkg", "-r", "calicoctl")
    assert [path for path in INSTALLED if debian.has(path)] == [SETTINGS]
    debian.run("dpkg", "-P", "calicoctl")
    assert not debian.has(SETTINGS)
    assert not debian.has("usr/lib/calicoctl")


def test_what_the_pages_about_installation_and_upgrade_say_works(
    frozen_calicoctl: Frozen, packages: dict[str, Path], lab1: Lab
) -> None:
    """Where systemd is process 1: installed, enabled, upgraded while it runs, removed."""
    (host,) = lab1.hosts
    systemd = service_manager.start(host, UNITS)
    sit_down(host, systemd.pid, frozen_calicoctl, packages)
    terminal = {host.name: systemd.terminal()}

    assert document.play(HOW_TO / "install.md", terminal) > 4
    assert systemd.run("systemd-analyze", "verify", "calico-node.service").text == ""
    wait_for_starts(host, 1)
    before = systemd.ask("show", "--value", "--property=MainPID", "calico-node")
    # what was installed in the second way would be found first
    systemd.run("rm", "/usr/local/bin/calicoctl")

    upgrade, removal = document.steps(HOW_TO / "upgrade.md")
    document.do([upgrade], terminal)
    wait_for_starts(host, 2)
    assert systemd.ask("show", "--value", "--property=MainPID", "calico-node") != before
    assert systemd.ask("is-active", "calico-node") == "active"

    document.do([removal], terminal)
    assert systemd.ask("is-active", "calico-node") == "inactive"
    assert systemd.ask("is-enabled", "calico-node") != "enabled"
    assert systemd.run("calicoctl", "version", check=False).code != 0
    assert leftovers.on_host(host) == []
    assert "Traceback" not in log_of(host)


def sit_down(host: Host, pid: int, built: Frozen, packages: dict[str, Path]) -> None:
    """Have what was built where the pages expect it, and their programs ask nobody."""
    root = Path(f"/proc/{pid}/root")
    (root / "etc/apt/apt.conf.d/lab").write_text(APT)
    editor = root / "usr/local/bin/sudoedit"
    editor.write_text(EDITED)
    editor.chmod(0o755)
    home = host.directory / "home"
    shutil.copytree(built.dist, home / "dist")
    shutil.copy(packages[LATER], home)
    (root / document.HOME.lstrip("/")).symlink_to(home)


def log_of(host: Host) -> str:
    return Path(f"/proc/{host.pid}/root/{LOG}").read_text()


def wait_for_starts(host: Host, times: int) -> None:
    line = f"calico-node is running ({host.name}: {host.ip})"
    command.wait_until(lambda: log_of(host).count(line) == times, 60, f"the node runs, {times}")
