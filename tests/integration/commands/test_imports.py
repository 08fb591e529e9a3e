"""A command loads the packages that it needs and no others: each costs a person's time."""

import functools
import subprocess
import sys

import pytest

from tests.support.paths import CHECKOUT

STORE = {"calico_ctl", "docopt", "h11", "netaddr"}
# What the library's own `copy` looks for, in vain: it is Jython's.
NOT_THERE = {"org"}
SLOW = {"asyncio", "dataclasses", "inspect", "json", "logging", "re", "socket", "typing"}


def loaded(argv: list[str], environment: dict[str, str]) -> set[str]:
    """The top-level modules that a program imported until its end, which has to be a good one."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *argv],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


@functools.cache
def anyhow() -> set[str]:
    """What an interpreter of this installation loads whatever is run."""
    return loaded(["-c", ""], {})


@pytest.mark.parametrize(
    ("line", "packages"),
    [
        ("version", {"calico_ctl"}),
        ("--version", {"calico_ctl"}),
        ("--help", {"calico_ctl"}),
        ("profile --help", {"calico_ctl"}),
        ("help node", {"calico_ctl"}),
        ("completion bash", {"calico_ctl", "docopt"}),
        ("complete -- pro", {"calico_ctl", "docopt"}),
        ("complete -- profile w", STORE),
        ("pool show", STORE),
        ("profile show", STORE),
        ("pool show --output=json", STORE),
        ("pool show --output=yaml", STORE | {"yaml"}),
        ("profile add web", STORE),
    ],
)
def test_only_the_packages_that_are_needed_are_loaded(shell, line, packages) -> None:
    environment = {"ETCD_AUTHORITY": shell.authority}
    found = loaded([str(CHECKOUT / "calicoctl.py"), *line.split()], environment)
    assert found - anyhow() - set(sys.stdlib_module_names) - NOT_THERE == packages


@pytest.mark.parametrize("line", ["version", "--help", "profile --help"])
def test_help_and_version_wait_for_no_slow_module_of_the_library_either(line) -> None:
    assert loaded([str(CHECKOUT / "calicoctl.py"), *line.split()], {}) & SLOW == set()
