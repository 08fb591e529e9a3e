from itertools import islice
from random import Random

from netaddr import IPAddress, IPNetwork

from calico_ctl.ipam import choose


def nets(*texts: str) -> list[IPNetwork]:
    return [IPNetwork(text) for text in texts]


def numbers(*texts: str) -> list[int]:
    return [int(IPAddress(text)) for text in texts]


def test_only_own_blocks_that_share_addresses_with_a_pool_are_asked() -> None:
    own = nets("10.0.1.0/26", "10.0.0.64/26", "fd80::/122", "172.16.0.0/26")
    pools = nets("10.0.0.0/16", "172.16.0.32/28")
    assert sorted(choose.within(own, pools)) == nets("10.0.0.64/26", "10.0.1.0/26", "172.16.0.0/26")


def test_the_families_are_not_mixed_up() -> None:
    assert list(choose.within(nets("::a00:0/122"), nets("10.0.0.0/24"))) == []


def test_unclaimed_blocks_come_in_the_order_of_the_pools() -> None:
    found = choose.unclaimed(nets("10.0.0.0/25", "10.9.0.0/25"), numbers("10.0.0.0"))
    assert list(found) == nets("10.0.0.64/26", "10.9.0.0/26", "10.9.0.64/26")


def test_a_pool_smaller_than_a_block_has_one() -> None:
    found = choose.unclaimed(nets("10.0.0.80/28", "10.0.0.96/30"), [])
    assert list(found) == nets("10.0.0.64/26")


def test_an_enormous_pool_is_scanned_no_further_than_needed() -> None:
    found = choose.unclaimed(nets("fd80::/64"), numbers("fd80::"))
    assert list(islice(found, 2)) == nets("fd80::40/122", "fd80::80/122")


def test_the_random_order_holds_each_block_once_and_comes_from_the_generator() -> None:
    blocks = [f"/block/10.0.{n:02}.0-26" for n in range(20)]
    first = list(choose.shuffled(blocks, Random(1)))
    assert sorted(first) == blocks
    assert first == list(choose.shuffled(reversed(blocks), Random(1)))
    assert first != list(choose.shuffled(blocks, Random(2)))
