"""The Debian package: installed, upgraded, removed and purged in a Debian of its own."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from calico_ctl import __version__
from tests.support import command, frozen
from tests.support.frozen import Frozen, Root
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


@pytest.fixture(scope="module")
def debian(frozen_calicoctl: Frozen) -> Iterator[Root]:
    """A Debian that has two versions of the package in /."""
    with frozen.debian() as root:
        for version in (__version__, f"{__version__}+later"):
            packed = command.run([str(CHECKOUT / "scripts/deb"), version]).out.strip()
            shutil.move(CHECKOUT / packed, root.path / f"{version}.deb")
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
    debian.run("dpkg", "-i", f"/{__version__}+later.deb")
    assert debian.run("dpkg-query", "-W", "-f=${Version}", "calicoctl").out.endswith("+later")
    assert settings.read_text() == "ETCD_AUTHORITY=10.0.0.1:2379\n"

    debian.run("dpkg", "-r", "calicoctl")
    assert [path for path in INSTALLED if debian.has(path)] == [SETTINGS]
    debian.run("dpkg", "-P", "calicoctl")
    assert not debian.has(SETTINGS)
    assert not debian.has("usr/lib/calicoctl")


def test_its_service_is_one_that_systemd_accepts(debian: Root, tmp_path: Path) -> None:
    debian.run("dpkg", "-i", f"/{__version__}.deb")
    unit = (debian.path / UNIT).read_text()
    assert "ExecStart=/usr/bin/calicoctl node --detach=false $CALICO_NODE_OPTIONS\n" in unit
    assert "EnvironmentFile=-/etc/default/calicoctl\n" in unit
    if shutil.which("systemd-analyze"):
        # What it refers to is not on this machine: a program and a unit that are, instead.
        copy = tmp_path / "calico-node.service"
        copy.write_text(
            unit.replace("/usr/bin/calicoctl", "/bin/true")
            .replace("Requires=docker.service\n", "")
            .replace("Documentation=man:calicoctl(8)\n", "")
        )
        said = command.run(["systemd-analyze", "verify", str(copy)], check=False)
        assert (said.code, "calico-node.service:" in said.text) == (0, False)
