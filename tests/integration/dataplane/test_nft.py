"""libnftables in this process."""

from collections.abc import Iterator

import pytest

from calico_ctl.dataplane.nft import Nft
from calico_ctl.errors import CommandFailed
from calico_ctl.policy.ruleset import Names
from tests.support.netns import private_netns


@pytest.fixture
def nft() -> Iterator[Nft]:
    with private_netns() as namespace, namespace.entered():
        yield Nft()


def test_a_table_that_is_not_there_has_no_names(nft: Nft) -> None:
    assert nft.names() is None


def test_a_script_is_applied_whole_or_not_at_all(nft: Nft) -> None:
    nft.apply(
        "add table inet calico\nadd chain inet calico a\nadd set inet calico s { type mark; }"
    )
    with pytest.raises(CommandFailed, match="No such file or directory"):
        nft.apply("add chain inet calico b\nadd rule inet calico a jump nosuch")
    assert nft.names() == Names(frozenset("a"), frozenset("s"), frozenset())


def test_an_error_is_not_said_again_with_the_next_one(nft: Nft) -> None:
    with pytest.raises(CommandFailed, match="syntax error"):
        nft.apply("add nonsense")
    with pytest.raises(CommandFailed, match="No such file or directory") as caught:
        nft.apply("add chain inet nowhere x")
    assert "syntax" not in caught.value.message


def test_the_table_can_be_deleted_twice(nft: Nft) -> None:
    nft.apply("add table inet calico")
    nft.delete_table()
    nft.delete_table()
    assert nft.names() is None


def test_an_empty_script_does_nothing(nft: Nft) -> None:
    nft.apply("")
    assert nft.names() is None


def test_maps_are_named_apart_from_sets(nft: Nft) -> None:
    nft.apply("add table inet calico\nadd map inet calico m { type ifname : verdict; }")
    assert nft.names() == Names(frozenset(), frozenset(), frozenset("m"))


def test_tables_of_others_are_neither_named_nor_deleted(nft: Nft) -> None:
    nft.apply("add table ip calico\nadd chain ip calico theirs\nadd table inet calico2")
    assert nft.names() is None
    nft.delete_table()
    with pytest.raises(CommandFailed):
        nft.listing()
    nft.apply("add rule ip calico theirs counter\nadd chain inet calico2 still")
