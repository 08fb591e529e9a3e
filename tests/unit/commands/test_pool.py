import json

import pytest

from calico_ctl.datastore import config
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


def test_host_bits_are_cleared(cli) -> None:
    cli.done("pool", "add", "10.65.1.2/16")
    assert pools(cli)[1][0] == "10.65.0.0/16"


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
        (["10.64.0.0/16", "10.64.5.0/24"], "pool 10.64.5.0/24 overlaps pool 10.64.0.0/16"),
        (["11.0.0.0/16", "10.0.0.0/8"], "pool 10.0.0.0/8 overlaps pool 10.65.0.0/16"),
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
        ("10.64.0.0", "10.66.0.0", "overlaps pool 10.65.0.0/16"),
        ("10.65.3.0", "10.65.3.9", "overlaps pool 10.65.0.0/16"),
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


def test_removing_a_pool_whose_addresses_are_in_use_says_so(cli) -> None:
    cli.done("pool", "add", "10.65.0.0/16")
    cli.endpoint("e1", "10.65.0.1", "10.65.0.2", "10.66.0.1")
    finished = cli.run("pool", "remove", "10.65.0.0/16")
    assert finished.exit == 0
    assert "warning: addresses of 10.65.0.0/16 are still in use (2)" in finished.err


def test_a_pool_with_an_unreadable_value_is_reported_and_can_be_removed(cli) -> None:
    cli.store.put("/calico/ipam/v4/pool/10.65.0.0-16", "{nonsense")
    finished = cli.run("pool", "show")
    assert finished.exit == 0
    assert "warning: /calico/ipam/v4/pool/10.65.0.0-16 is left out" in finished.err
    cli.done("pool", "remove", "10.65.0.0/16")
    assert cli.run("pool", "show").err == ""
