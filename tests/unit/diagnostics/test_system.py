"""All checks together."""

from calico_ctl.diagnostics import system
from calico_ctl.errors import CalicoError
from tests.support.diagnosed import Diagnosed, FakeEngine


def test_every_check_is_listed_once_and_nobody_is_asked_before_it_is_carried_out():
    machine = Diagnosed(docker=FakeEngine(fail=CalicoError("nobody was to ask")))
    names = [each.name for each in system.checks(machine)]
    assert len(set(names)) == len(names)
    assert {
        *("nftables", "conntrack", "veth", "routing", "vxlan", "ipip"),
        *("ip_forward", "rp_filter", "mtu", "docker", "port179", "port2377", "etcd", "clock"),
    } <= set(names)


def test_only_what_is_safe_is_fixed():
    unfixable = {each.name for each in system.checks(Diagnosed()) if each.fix is None}
    assert {"docker", "port179", "port2377", "etcd", "clock", "mtu"} <= unfixable
