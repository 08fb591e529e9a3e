"""What is tried in a namespace of its own leaves no trace."""

from pathlib import Path

import pytest

from calico_ctl.errors import CalicoError
from calico_ctl.host import command, kernel, throwaway
from tests.support.netns import NetNs

SETTING = "net/ipv4/ip_forward"


def here() -> int:
    return Path("/proc/thread-self/ns/net").stat().st_ino


def test_it_is_another_namespace_and_what_happens_there_stays_there(private_netns: NetNs):
    def act() -> tuple[int, str]:
        command.run(["ip", "link", "add", "calitry0", "type", "veth", "peer", "name", "calitry1"])
        kernel.write_setting(SETTING, "1")
        return here(), command.run(["ip", "-brief", "link"])

    kernel.write_setting(SETTING, "0")
    home = here()
    inode, links = throwaway.inside(act)
    assert inode != home
    assert "calitry0" in links
    assert here() == home
    assert "calitry" not in command.run(["ip", "-brief", "link"])
    assert kernel.read_setting(SETTING) == "0"


@pytest.mark.parametrize("error", [CalicoError("no"), KeyError("no")])
def test_what_is_raised_there_is_raised_here(error):
    def act() -> None:
        raise error

    with pytest.raises(type(error), match="no"):
        throwaway.inside(act)


def test_where_none_can_be_made_that_is_said(monkeypatch):
    monkeypatch.setattr(throwaway, "_CLONE_NEWNET", 1)
    with pytest.raises(CalicoError, match="cannot make a network namespace: "):
        throwaway.inside(here)
