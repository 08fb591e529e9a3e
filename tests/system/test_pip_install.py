"""`pip install .` gives the same calicoctl, with what the node image is built from."""

import shutil
from pathlib import Path

import pytest

from calico_ctl import __version__
from calico_ctl.docker_api import build_context
from tests.support import command, document
from tests.support.frozen import Frozen
from tests.support.paths import CHECKOUT

pytestmark = pytest.mark.system

SOURCES = ("calico_ctl", "calico_node", "calicoctl.py", "requirements.txt", "LICENSE")
DESCRIBED = ("pyproject.toml", "setup.py", "README.md")
PAGE = CHECKOUT / "docs/how-to/install.md"
OFFLINE = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0"}
"""The last one is the opposite of what it says, and no isolation: pip reads it so."""
WHERE = "import calico_ctl; print(calico_ctl.__path__[0])"


def test_a_package_that_is_installed_is_the_same(frozen_calicoctl: Frozen, tmp_path: Path) -> None:
    # pip builds inside the sources.
    checkout, place = tmp_path / "checkout", tmp_path / "installed"
    checkout.mkdir()
    for name in (*SOURCES, *DESCRIBED):
        copy = shutil.copytree if (CHECKOUT / name).is_dir() else shutil.copy
        copy(CHECKOUT / name, checkout / name)
    # What it needs has been fetched already, for the frozen program.
    (fetched,) = frozen_calicoctl.python.parents[1].glob("lib/python*/site-packages")
    environment = command.clean_environment({"PYTHONPATH": str(fetched)})
    block = next(each for each in document.blocks(PAGE.read_text()) if "pip install" in each.text)
    typed = block.text.replace("/opt/calicoctl", str(place))
    command.run(["sh", "-ec", f"cd {checkout}\n{typed}"], env=environment | OFFLINE)

    (packages,) = place.glob("lib/python*/site-packages")
    where = [str(place / "bin/python"), "-P", "-c", WHERE]
    inside = command.run(where, env=environment).out.strip()
    assert inside == str(packages / "calico_ctl")
    found = command.run([str(place / "bin/calicoctl"), "version"], env=environment)
    assert found.out == f"{__version__}\n"
    found = command.run(
        [str(place / "bin/calicoctl"), "no-such-thing"], env=environment, check=False
    )
    assert (found.code, found.out) == (1, "")
    assert build_context.tar(Path(inside), "") == build_context.tar(CHECKOUT, "")
    (about,) = packages.glob("calicoctl-*.dist-info/METADATA")
    assert "Requires-Dist: docker==" in about.read_text()
