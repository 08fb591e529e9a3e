import json
from random import Random

import pytest
import yaml
from netaddr import IPAddress

from calico_ctl.datastore import addresses, bgp, config, nodes
from calico_ctl.datastore import pools as datastore_pools
from calico_ctl.errors import Conflict
from calico_ctl.model.bgp import BgpPeer
from calico_ctl.model.node import Node
from tests.support.cli import Cli, cells


@pytest.fixture
def cli() -> Cli:
    return Cli()


def pools(cli: Cli, *options: str) -> list[list[str]]:
    return cells(cli.done("pool", "show", *options))


def test_pools_are_shown_by_family_in_the_order_of_their_numbers(cli) -> None:
    cli.done("pool", "add", "10.0.0.0/16", "9.0.0.0/16", "fd80:10::/64", "fd80:9::/64")
    assert pools(cli) == [
        ["IPv4 CIDR", "Options"],
        ["9.0.0.0/16", ""],
        ["10.0.0.0/16", ""],
        ["IPv6 CIDR", "Options"],
        ["fd80:9::/64", ""],
        ["fd80:10::/64", ""],
    ]
    assert pools(cli, "--ipv4")[0] == ["IPv4 CIDR", "Options"]
    assert len(pools(cli, "--ipv4")) == len(pools(cli, "--ipv6")) == 3


def test_without_pools_the_headings_are_shown(cli) -> None:
    assert pools(cli, "--ipv6") == [["IPv6 CIDR", "Options"]]


def test_options_are_written_as_agents_read_them_and_shown(cli) -> None:
    cli.done("pool", "add", "10.65.0.0/16", "--ipip", "--nat-outgoing")
    cli.done("pool", "add", "fd80:66::/64", "--nat-outgoing")
    assert pools(cli)[1] == ["10.65.0.0/16", "ipip,nat-outgoing"]
    assert pools(cli)[3] == ["fd80:66::/64", "nat-outgoing"]
    written = cli.contents()["/calico/ipam/v4/pool/10.65.0.0-16"]
    assert json.loads(written) == {"cidr": "10.65.0.0/16", "ipip": "tunl0", "masquerade": True}


def test_the_first_ipip_pool_turns_ipip_on(cli) -> None:
    cli.done("pool", "add", "10.65.0.0/16")
    assert config.get(cli.store, "IpInIpEnabled") is None
    cli.done("pool", "add", "10.66.0.0/16", "--ipip")
    assert config.get(cli.store, "IpInIpEnabled") == "true"


def test_a_pool_with_a_host_in_it_is_warned_of(cli) -> None:
    nodes.register(cli.store, Node("h7", IPAddress("10.65.0.7"), IPAddress("fd65::7")))
    bgp.set_peer(cli.store, BgpPeer(IPAddress("10.66.0.1"), 64512))
    finished = cli.run("pool", "add", "10.65.0.0/16", "10.66.0.0/16", "fd65::/64", "fd66::/64")
    assert finished.exit == 0
    assert [line.partition(" in it")[0] for line in finished.err.splitlines()] == [
        "warning: pool 10.65.0.0/16 has the address of host h7",
        "warning: pool fd65::/64 has the address of host h7",
    ]


def test_host_bits_are_refused_with_the_network_that_may_be_meant(cli) -> None:
    said = cli.refused("pool", "add", "10.66.0.0/16", "10.65.1.2/16")
    assert "invalid CIDR '10.65.1.2/16': expected no bits beyond the prefix length" in said
    assert "as in 10.65.0.0/16" in said
    assert cli.store.writes == 0


def test_adding_the_same_pool_again_changes_nothing(cli) -> None:
    cli.done("pool", "add", "10.65.0.0/16", "--ipip")
    before = cli.contents()
    cli.done("pool", "add", "10.65.0.0/16", "10.65.0.0/16", "--ipip")
    assert cli.contents() == before


def test_adding_it_again_with_other_options_is_refused_before_anything_is_written(cli) -> None:
    cli.done("pool", "add", "10.65.0.0/16", "--ipip")
    err = cli.refused("pool", "add", "10.64.0.0/16", "10.65.0.0/16")
    assert "pool 10.65.0.0/16 exists already with other options" in err
    assert "calicoctl pool remove 10.65.0.0/16" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["10.64.0.0/16", "10.0.0.0/33"], "invalid CIDR '10.0.0.0/33'"),
        (["10.64.0.0/16", "10"], "invalid CIDR '10'"),
        (["10.64.0.0/16", "010.0.0.0/8"], "invalid CIDR '010.0.0.0/8'"),
        (["10.64.0.0/16", "fd80:66::/64", "--ipip"], "'fd80:66::/64': expected IPv4 pools only"),
        (["10.64.0.0/16", "10.64.5.0/24"], "pool 10.64.5.0/24 overlaps the pool 10.64.0.0/16"),
        (["11.0.0.0/16", "10.0.0.0/8"], "pool 10.0.0.0/8 overlaps the pool 10.65.0.0/16"),
    ],
)
def test_one_bad_pool_among_several_keeps_all_of_them_out(cli, words, message) -> None:
    cli.done("pool", "add", "10.65.0.0/16")
    assert message in cli.refused("pool", "add", *words)


def test_a_range_becomes_the_fewest_pools_that_cover_it(cli) -> None:
    cli.done("pool", "range", "add", "172.24.0.0", "172.24.25.255", "--nat-outgoing")
    assert pools(cli, "--ipv4")[1:] == [
        ["172.24.0.0/20", "nat-outgoing"],
        ["172.24.16.0/21", "nat-outgoing"],
        ["172.24.24.0/23", "nat-outgoing"],
    ]


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        ("10.1.0.0", "10.1.0.0", "end address '10.1.0.0'"),
        ("10.1.0.9", "10.1.0.1", "end address '10.1.0.1'"),
        ("10.1.0.0", "fd80::1", "end address 'fd80::1'"),
        ("10.1", "10.1.0.9", "start address '10.1'"),
        ("10.1.0.0", "10.1.0.256", "end address '10.1.0.256'"),
        ("10.64.0.0", "10.66.0.0", "overlaps the pool 10.65.0.0/16"),
        ("10.65.3.0", "10.65.3.9", "overlaps the pool 10.65.0.0/16"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(cli, start, end, message) -> None:
    cli.done("pool", "add", "10.65.0.0/16")
    assert message in cli.refused("pool", "range", "add", start, end)


def test_pools_are_removed(cli) -> None:
    cli.done("pool", "add", "10.65.0.0/16", "10.66.0.0/16", "fd80:66::/64")
    cli.done("pool", "remove", "10.65.0.0/16", "fd80:66::/64")
    assert pools(cli)[1:] == [["10.66.0.0/16", ""], ["IPv6 CIDR", "Options"]]


def test_one_unknown_pool_keeps_all_of_them_in(cli) -> None:
    cli.done("pool", "add", "10.65.0.0/16")
    err = cli.refused("pool", "remove", "10.65.0.0/16", "10.66.0.0/16")
    assert "10.66.0.0/16: no such pool; nothing was removed" in err


def test_T24_a_pool_whose_addresses_are_in_use_is_removed_only_by_force(cli) -> None:
    cli.done("pool", "add", "10.65.0.0/16", "10.64.0.0/16")
    cli.endpoint("e1", "10.65.0.1", "10.65.0.2", "10.66.0.1")
    err = cli.refused("pool", "remove", "10.64.0.0/16", "10.65.0.0/16")
    assert "2 addresses are still in use in" in err
    assert "10.65.0.1 (endpoint e1 on host host1), 10.65.0.2 (endpoint e1 on host host1)" in err
    assert "10.66.0.1" not in err
    assert "--force" in err
    finished = cli.run("pool", "remove", "10.64.0.0/16", "10.65.0.0/16", "--force")
    assert (finished.exit, finished.out) == (0, "")
    assert "warning: 2 addresses are still in use" in finished.err
    assert len(pools(cli)) == 2


def test_T24_an_address_that_only_ipam_notes_is_in_use_too(cli) -> None:
    cli.done("pool", "add", "10.65.0.0/16")
    addresses.claim(cli.store, "host7", IPAddress("10.65.0.9"), "e7", Random(1))
    err = cli.refused("pool", "remove", "10.65.0.0/16")
    assert "1 address is still in use in 10.65.0.0/16: 10.65.0.9 (owner e7 on host host7)" in err


def test_T24_of_many_addresses_in_use_some_are_named_and_all_counted(cli) -> None:
    cli.done("pool", "add", "10.65.0.0/16")
    cli.endpoint("e1", *(f"10.65.0.{number}" for number in range(1, 21)))
    err = cli.refused("pool", "remove", "10.65.0.0/16")
    assert "20 addresses are still in use" in err
    assert err.count("endpoint e1") == 5
    assert "and 15 more" in err


def test_T24_nat_outgoing_is_shown_for_both_families(cli) -> None:
    cli.done("pool", "add", "10.65.0.0/16", "fd80:66::/64", "--nat-outgoing")
    assert [row[1] for row in pools(cli)] == ["Options", "nat-outgoing", "Options", "nat-outgoing"]


def test_T23_each_pool_goes_to_its_own_family_and_can_be_removed_alone(cli) -> None:
    cli.done("pool", "add", "10.6.0.0/16", "fd00::/64")
    assert {key for key, value in cli.contents().items() if value is not None} == {
        "/calico/ipam/v4/pool/10.6.0.0-16",
        "/calico/ipam/v6/pool/fd00::-64",
    }
    cli.done("pool", "remove", "fd00::/64")
    assert pools(cli)[1][0] == "10.6.0.0/16"
    cli.refused("pool", "add", "10.7.0.0/16", "fd01::/64", "--ipip")


def test_of_pools_that_somebody_else_was_faster_with_none_stays(cli, monkeypatch) -> None:
    real = datastore_pools.create

    def create(store, pool) -> bool:
        if str(pool.cidr) == "10.3.0.0/16":
            raise Conflict("somebody else was faster")
        return real(store, pool)

    monkeypatch.setattr(datastore_pools, "create", create)
    cli.done("pool", "add", "10.1.0.0/16")
    finished = cli.run("pool", "add", "10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16")
    assert finished.exit == 1
    assert pools(cli, "--ipv4")[1:] == [["10.1.0.0/16", ""]]


def test_encapsulation_is_written_and_shown(cli) -> None:
    cli.done("pool", "add", "10.65.0.0/16", "fd80:66::/64", "--vxlan", "--cross-subnet")
    assert pools(cli)[1] == ["10.65.0.0/16", "vxlan,cross-subnet"]
    written = json.loads(cli.contents()["/calico/ipam/v6/pool/fd80:66::-64"] or "")
    assert written == {"cidr": "fd80:66::/64", "vxlan": "vxlan.calico", "cross_subnet": True}


def test_a_pool_is_disabled_and_enabled_by_adding_it_again(cli) -> None:
    cli.done("pool", "add", "10.65.0.0/16", "10.66.0.0/16", "--nat-outgoing")
    again = ["pool", "add", "10.65.0.0/16", "10.66.0.0/16", "--nat-outgoing"]
    said = cli.run(*again, "--disabled")
    assert said.exit == 0
    assert said.out == ""
    assert said.err == (
        "pool 10.65.0.0/16 gives out no more addresses\n"
        "pool 10.66.0.0/16 gives out no more addresses\n"
    )
    assert pools(cli)[1:3] == [
        ["10.65.0.0/16", "nat-outgoing,disabled"],
        ["10.66.0.0/16", "nat-outgoing,disabled"],
    ]
    assert cli.run(*again, "--disabled").err == ""
    err = cli.refused("pool", "add", "10.65.0.0/16")
    assert "exists already with other options: nat-outgoing, disabled" in err
    assert "pool 10.65.0.0/16 gives out addresses again" in cli.run(*again).err
    written = json.loads(cli.contents()["/calico/ipam/v4/pool/10.65.0.0-16"] or "")
    assert written == {"cidr": "10.65.0.0/16", "masquerade": True}


def test_new_pools_may_be_disabled_from_the_first(cli) -> None:
    cli.done("pool", "add", "10.65.0.0/16", "--disabled")
    cli.done("pool", "range", "add", "10.66.0.0", "10.66.255.255", "--disabled")
    assert pools(cli)[1:3] == [["10.65.0.0/16", "disabled"], ["10.66.0.0/16", "disabled"]]


def test_a_pool_stays_enabled_where_another_one_cannot_be_added(cli, monkeypatch) -> None:
    cli.done("pool", "add", "10.1.0.0/16")
    real = datastore_pools.create

    def create(store, pool) -> bool:
        if str(pool.cidr) == "10.2.0.0/16":
            raise Conflict("somebody else was faster")
        return real(store, pool)

    monkeypatch.setattr(datastore_pools, "create", create)
    finished = cli.run("pool", "add", "10.1.0.0/16", "10.2.0.0/16", "--disabled")
    assert finished.exit == 1
    assert "gives out" not in finished.err
    assert pools(cli, "--ipv4")[1:] == [["10.1.0.0/16", ""]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ipip", "--vxlan"], "Usage:"),
        (["--cross-subnet"], "expected ipip or vxlan beside cross-subnet"),
    ],
)
def test_options_that_do_not_go_together_are_refused(cli, options, message) -> None:
    assert message in cli.refused("pool", "add", "10.65.0.0/16", *options)


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_pools_are_shown_as_data(cli, form) -> None:
    cli.done("pool", "add", "10.65.0.0/16", "fd80:66::/64", "--vxlan")
    cli.store.put("/calico/ipam/v4/pool/9.0.0.0-8", "{nonsense")
    finished = cli.run("pool", "show", "--ipv4", f"--output={form}")
    assert finished.exit == 0
    assert "9.0.0.0-8 is left out" in finished.err
    assert yaml.safe_load(finished.out) == {
        "schema": 1,
        "kind": "pool",
        "items": [
            {
                "cidr": "10.65.0.0/16",
                "ipip": False,
                "nat_outgoing": False,
                "vxlan": True,
                "cross_subnet": False,
                "disabled": False,
            }
        ],
    }


def test_pools_are_shown_by_name(cli) -> None:
    cli.done("pool", "add", "10.0.0.0/16", "9.0.0.0/16", "fd80:10::/64")
    named = cli.done("pool", "show", "--output=name")
    assert named.splitlines() == ["9.0.0.0/16", "10.0.0.0/16", "fd80:10::/64"]
    assert "invalid --output 'xml'" in cli.refused("pool", "show", "--output=xml")


def test_a_pool_with_an_unreadable_value_is_reported_and_can_be_removed(cli) -> None:
    cli.store.put("/calico/ipam/v4/pool/10.65.0.0-16", "{nonsense")
    finished = cli.run("pool", "show")
    assert finished.exit == 0
    assert "warning: /calico/ipam/v4/pool/10.65.0.0-16 is left out" in finished.err
    cli.done("pool", "remove", "10.65.0.0/16")
    assert cli.run("pool", "show").err == ""
