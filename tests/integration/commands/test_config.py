"""`calicoctl config` as a process against a real etcd."""

from fnmatch import fnmatch

from tests.support.etcd import Etcd
from tests.support.shell import Shell


def test_settings_of_the_agent_of_all_hosts_and_of_this_one(shell: Shell, etcd: Etcd) -> None:
    keys = {
        "felix": "/calico/config/LogSeverityScreen",
        "bgp": "/calico/bgp/v1/global/loglevel",
        "node bgp": "/calico/bgp/v1/host/*/loglevel",
    }
    for what, key in keys.items():
        assert shell.done(f"config {what} loglevel debug") == ""
        assert [value for each, value in etcd.keys().items() if fnmatch(each, key)] == ["debug"]
        assert shell.done(f"config {what} loglevel") == "debug\n"
        assert shell.done(f"config {what} loglevel --remove") == "Value removed\n"
    assert shell.done("config bgp loglevel --remove") == "No value configured\n"


def test_force_sets_what_is_not_known(shell: Shell, etcd: Etcd) -> None:
    assert "there is no setting" in shell.refused("config felix Foo bar")
    for what in ("felix", "bgp", "node bgp"):
        shell.done(f"config {what} Foo bar --force")
    patterns = ["/calico/bgp/v1/global/Foo", "/calico/bgp/v1/host/*/Foo", "/calico/config/Foo"]
    found = sorted(key for key, value in etcd.keys().items() if value == "bar")
    assert len(found) == len(patterns)
    assert all(map(fnmatch, found, patterns))
    assert shell.done("config felix Foo --remove --force") == "Value removed\n"
