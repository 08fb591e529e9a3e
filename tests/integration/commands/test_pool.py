"""calicoctl pool, as processes against a real etcd."""

import json

from tests.support.etcd import Etcd


def pools(etcd: Etcd) -> dict[str, dict[str, object]]:
    listed = etcd.keys("/calico/ipam").items()
    return {key.rpartition("/")[2]: json.loads(value) for key, value in listed}


def test_pools_of_both_families_come_and_go(shell, etcd):
    shell.done("pool add 10.65.0.0/16 fd80:66::/64 --nat-outgoing")
    shell.done("pool add 10.66.0.0/16 --ipip --cross-subnet")
    shell.done("pool add 10.67.0.0/16 fd80:67::/64 --vxlan")
    shell.done("pool range add 172.24.0.0 172.24.25.255")
    assert pools(etcd)["10.66.0.0-16"] == {
        "cidr": "10.66.0.0/16",
        "ipip": "tunl0",
        "cross_subnet": True,
    }
    assert etcd.keys()["/calico/config/IpInIpEnabled"] == "true"
    assert len(pools(etcd)) == 8
    shell.done("pool remove 10.65.0.0/16 fd80:67::/64")
    shell.done("pool remove 10.67.0.0/16 --force")
    assert shell.done("pool show --output=name").split() == [
        "10.66.0.0/16",
        "172.24.0.0/20",
        "172.24.16.0/21",
        "172.24.24.0/23",
        "fd80:66::/64",
    ]


def test_pools_are_shown(shell, etcd):
    shell.done("pool add 10.65.0.0/16 fd80:66::/64 --nat-outgoing")
    both = shell.done("pool show")
    only4, only6 = shell.done("pool show --ipv4"), shell.done("pool show --ipv6")
    assert both == only4 + only6
    assert "| 10.65.0.0/16 | nat-outgoing |" in only4
    (item,) = json.loads(shell.done("pool show --ipv6 --output=json"))["items"]
    assert (item["cidr"], item["nat_outgoing"]) == ("fd80:66::/64", True)


def test_all_pools_of_a_range_have_its_options(shell, etcd):
    shell.done("pool range add 172.25.0.0 172.25.2.255 --ipip --cross-subnet --nat-outgoing")
    shell.done("pool range add fd80:1:: fd80:1::1 --vxlan")
    assert shell.done("pool show --output=name").split() == [
        "172.25.0.0/23",
        "172.25.2.0/24",
        "fd80:1::/127",
    ]
    for name in ("172.25.0.0-23", "172.25.2.0-24"):
        kept = {option: pools(etcd)[name].get(option) for option in ("ipip", "cross_subnet")}
        assert kept == {"ipip": "tunl0", "cross_subnet": True}
        assert pools(etcd)[name]["masquerade"] is True
    assert pools(etcd)["fd80:1::-127"]["vxlan"] == "vxlan.calico"


def test_a_pool_is_disabled_and_enabled(shell, etcd):
    shell.done("pool add 10.65.0.0/16 --nat-outgoing")
    shell.done("pool add 10.65.0.0/16 --nat-outgoing --disabled")
    shell.done("pool range add 10.66.0.0 10.66.255.255 --disabled")
    assert pools(etcd)["10.65.0.0-16"] == {
        "cidr": "10.65.0.0/16",
        "masquerade": True,
        "disabled": True,
    }
    assert "| 10.65.0.0/16 | nat-outgoing,disabled |" in shell.done("pool show")
    shell.done("pool add 10.65.0.0/16 --nat-outgoing")
    shown = json.loads(shell.done("pool show --output=json"))["items"]
    assert [each["disabled"] for each in shown] == [False, True]


def test_a_pool_with_addresses_in_use_stays(shell, etcd):
    shell.done("pool add 10.65.0.0/16")
    endpoint = {"state": "active", "name": "cali1", "ipv4_nets": ["10.65.0.7/32"]}
    key = "/v2/keys/calico/host/host7/workload/docker/w1/endpoint/e1"
    etcd.request("PUT", key, json.dumps(endpoint))
    err = shell.refused("pool remove 10.65.0.0/16")
    assert "10.65.0.7 (endpoint e1 on host host7)" in err
    assert "10.65.0.0-16" in pools(etcd)
