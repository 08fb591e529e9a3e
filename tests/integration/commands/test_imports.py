"""A command loads the packages that it needs and no others: each costs a person's time."""

import functools
import subprocess
import sys

import pytest

from tests.support.paths import CHECKOUT

STORE = {"calico_ctl", "docopt", "httptools", "netaddr"}
# What the library's own `copy` looks for, in vain: it is Jython's.
NOT_THERE = {"org"}
SLOW = {"asyncio", "dataclasses", "inspect", "json", "logging", "re", "socket", "typing"}
NOT_WORTH_IT = {"ast", "asyncio", "encodings.idna", "inspect", "ssl", "subprocess", "tempfile"}
"""Modules of the library that others would load, and that nothing is done with."""

OF_OTHER_COMMANDS = {
    "calico_ctl.bgp.encapsulation",
    "calico_ctl.commands.profile_rules",
    "calico_ctl.model.bgp",
    "calico_ctl.model.container",
    "calico_ctl.model.count",
    "calico_ctl.model.interface",
    "calico_ctl.model.manifest",
    "calico_ctl.model.node",
    "calico_ctl.model.rule_text",
}
"""Modules of ours with many classes, each of which takes longer than what the command does."""


def modules(argv: list[str], environment: dict[str, str], code: int = 0) -> set[str]:
    """All that a program imported until its end, which has to be one with this code."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *argv],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}


def loaded(argv: list[str], environment: dict[str, str]) -> set[str]:
    """The packages and top-level modules among them."""
    return {name.partition(".")[0] for name in modules(argv, environment)}


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


@pytest.mark.parametrize("line", ["pool show", "profile show", "profile add web", "endpoint show"])
def test_modules_of_ours_that_other_commands_need_are_not_loaded(shell, line) -> None:
    found = modules(
        [str(CHECKOUT / "calicoctl.py"), *line.split()], {"ETCD_AUTHORITY": shell.authority}
    )
    assert found & (OF_OTHER_COMMANDS | NOT_WORTH_IT) == set()


@pytest.mark.parametrize("line", ["pool show", "endpoint show --detailed"])
def test_who_looks_at_pools_or_endpoints_does_not_wait_for_what_rules_are(shell, line) -> None:
    found = modules(
        [str(CHECKOUT / "calicoctl.py"), *line.split()], {"ETCD_AUTHORITY": shell.authority}
    )
    assert found & {"calico_ctl.model.rule", "calico_ctl.model.rule_json"} == set()


def test_a_container_gets_its_interface_without_a_program() -> None:
    found = modules(["-c", "import calico_ctl.dataplane.network"], {"PYTHONPATH": str(CHECKOUT)})
    assert "calico_ctl.dataplane.veth" in found
    programs = {"sh", "subprocess", "calico_ctl.host.command"}
    assert found & (programs | {"calico_ctl.bgp.encapsulation"}) == set()


def test_who_adds_a_container_does_not_wait_for_what_is_done_with_others(shell) -> None:
    """It ends where it finds none; what it would load after that speaks to the kernel."""
    line = "container add there-is-none 192.168.1.1"
    found = modules(
        [str(CHECKOUT / "calicoctl.py"), *line.split()], {"ETCD_AUTHORITY": shell.authority}, code=1
    )
    others = {"addresses", "detach", "membership", "which_endpoint"}
    assert "calico_ctl.workload.attach" in found
    theirs = {f"calico_ctl.workload.{each}" for each in others}
    assert found & (theirs | NOT_WORTH_IT | {"sh", "uuid"}) == set()
