"""Visits to a network namespace: what is done there, and that nobody stays."""

import socket
from pathlib import Path

import pytest

from calico_ctl.errors import CalicoError
from calico_ctl.host import kernel, namespaces
from tests.support.netns import NetNs, private_netns

pytestmark = pytest.mark.integration

SETTING = "net/ipv4/conf/lo/rp_filter"


def here() -> int:
    return Path("/proc/thread-self/ns/net").stat().st_ino


def other_side(namespace: NetNs) -> list[str]:
    with namespace.path.open() as file:
        return namespaces.within(file.fileno(), lambda: [name for _, name in socket.if_nameindex()])


def test_what_is_done_within_a_namespace_is_done_there_and_nowhere_else():
    before = here()
    with private_netns() as host, private_netns() as inside, host.entered():
        inside.run(["ip", "link", "add", "there0", "type", "veth", "peer", "name", "there1"])
        with inside.path.open() as file:
            ours = kernel.read_setting(SETTING)
            wanted = "2" if ours != "2" else "1"
            assert namespaces.within(file.fileno(), lambda: kernel.write_setting(SETTING, wanted))
            assert kernel.read_setting(SETTING) == ours
            assert namespaces.within(file.fileno(), lambda: kernel.read_setting(SETTING)) == wanted
            assert namespaces.within(file.fileno(), here) == inside.path.stat().st_ino
        assert "there0" in other_side(inside)
        assert [name for _, name in socket.if_nameindex()] == ["lo"]
        assert here() == host.path.stat().st_ino
    assert here() == before


def test_what_goes_wrong_within_a_namespace_is_told_outside():
    def fail() -> None:
        raise KeyError("in there")

    with private_netns() as inside, inside.path.open() as file:
        before = here()
        with pytest.raises(KeyError, match="in there"):
            namespaces.within(file.fileno(), fail)
        assert here() == before


def test_what_is_no_network_namespace_is_not_entered():
    with (
        Path("/proc/self/ns/mnt").open() as file,
        pytest.raises(CalicoError, match="cannot enter a network namespace: invalid argument"),
    ):
        namespaces.within(file.fileno(), here)
