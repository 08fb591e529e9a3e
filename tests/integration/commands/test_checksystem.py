"""checksystem as a process: on this machine, which it must not change, and in a namespace."""

import json
import re
import sys
from pathlib import Path

import pytest

from calico_ctl.host import kernel
from tests.support import command
from tests.support.cli import Finished
from tests.support.etcd import Etcd
from tests.support.netns import NetNs
from tests.support.paths import CHECKOUT
from tests.support.shell import Shell

FORWARD, LOOSE = "net/ipv4/ip_forward", "net/ipv4/conf/all/rp_filter"
NOWHERE = {"ETCD_AUTHORITY": "127.0.0.1:1", "DOCKER_HOST": "unix:///nowhere/docker.sock"}


@pytest.fixture
def tools(tmp_path: Path) -> dict[str, str]:
    """A PATH with a modprobe that only notes what it is asked: modules are the machine's."""
    modprobe = tmp_path / "modprobe"
    modprobe.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\nexit 1\n')
    modprobe.chmod(0o755)
    usual = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": f"{tmp_path}:{usual}"}


def results(finished: Finished) -> dict[str, str]:
    shown = json.loads(finished.out)
    assert (shown["schema"], shown["kind"]) == (1, "check")
    assert "Traceback" not in finished.err
    found = {each["name"]: each["result"] for each in shown["items"]}
    # Whatever this machine is like, the exit code says whether something is grave.
    assert finished.exit == (1 if "failed" in found.values() else 0), finished
    return found


def test_with_an_etcd_and_a_kernel_as_the_tests_have_them(shell: Shell):
    before = kernel.read_setting(FORWARD), kernel.read_setting(LOOSE)
    found = results(shell.run("checksystem --output=json"))
    assert found["etcd"] == found["clock"] == "ok"
    assert found["nftables"] == found["conntrack"] == found["veth"] == "ok"
    assert (kernel.read_setting(FORWARD), kernel.read_setting(LOOSE)) == before


ETCD_ALONE = """
import sys

from calico_ctl import main
from calico_ctl.diagnostics import services, system

system.checks = lambda platform: [
    each for each in services.checks(platform) if each.name in {"etcd", "clock"}
]
sys.exit(main.main(["checksystem", "--output=json"]))
"""
"""The command without the checks that run programs: with them, one of 70 hung under faketime."""


@pytest.mark.parametrize(("set_to", "said"), [("-4", ""), ("-1h", "behind"), ("+30", "ahead of")])
def test_a_clock_that_is_not_etcds_is_warned_of(etcd: Etcd, set_to: str, said: str):
    # Only the time of day is another one: how long something takes is not.
    elsewhen = ["faketime", "--exclude-monotonic", "-f", set_to]
    environment = command.clean_environment({"ETCD_AUTHORITY": etcd.authority})
    argv = ["env", "-C", str(CHECKOUT), *elsewhen, sys.executable, "-c", ETCD_ALONE]
    looked = command.run(argv, env=environment, check=False)
    found = {each["name"]: each["result"] for each in json.loads(looked.out)["items"]}
    assert found == {"etcd": "ok", "clock": "warning" if said else "ok"}
    assert looked.code == 0
    skew = re.match(r"warning: this machine's clock is (\d+) s (.*)\nhint: set both", looked.err)
    assert (skew is None) == (looked.err == "") == (said == "")
    if skew is not None:
        assert skew[2] == f"{said} that of etcd at {etcd.authority}"
        assert int(skew[1]) >= {"behind": 3540, "ahead of": 30}[said]


def test_what_is_wrong_is_named_with_what_to_do_and_fixed_where_that_is_safe(
    private_netns: NetNs, tools: dict[str, str]
):
    kernel.write_setting(FORWARD, "0")
    kernel.write_setting(LOOSE, "2")
    shell = Shell("", NOWHERE | tools)

    looked = shell.run("checksystem --output=json")
    found = results(looked)
    assert found["etcd"] == found["docker"] == found["ip_forward"] == "failed"
    assert found["rp_filter"] == "warning"
    assert "error: cannot reach etcd at 127.0.0.1:1" in looked.err
    assert "error: cannot reach the Docker Engine at unix:///nowhere/docker.sock" in looked.err
    assert "net.ipv4.ip_forward is 0\nhint: " in looked.err
    assert kernel.read_setting(FORWARD) == "0"

    found = results(shell.run("checksystem --fix --output=json"))
    assert found["ip_forward"] == found["rp_filter"] == "fixed"
    assert found["etcd"] == found["docker"] == "failed"
    assert kernel.read_setting(FORWARD) == "1"
    assert kernel.read_setting(LOOSE) == "0"
    assert kernel.read_setting("net/ipv4/conf/lo/rp_filter") == "2"


def test_libnetwork_is_not_there_yet(shell: Shell):
    assert "not available yet" in shell.refused("checksystem --libnetwork")
