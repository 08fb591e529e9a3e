"""Whatever way a step takes to the kernel, it comes to the same; a refused one changes nothing."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import pytest

from calico_ctl.dataplane import nfnetlink
from calico_ctl.dataplane.netlink import NETFILTER, KernelRefused, Netlink
from calico_ctl.dataplane.table import KernelTable
from calico_ctl.policy import desired as policy_desired
from calico_ctl.policy import diff
from calico_ctl.policy.operations import script
from calico_ctl.policy.ruleset import Chain, Names, Ruleset, Set, Step, VerdictMap
from tests.support import nft
from tests.support.netns import private_netns
from tests.support.states import STATES, ruleset

pytestmark = pytest.mark.integration

MEMBERS = frozenset(
    f"10.{number // 65536}.{number // 256 % 256}.{number % 256}" for number in range(10_000)
)
MEMBERS6 = frozenset(f"fd80::{number:x}" for number in range(1, 1_000))


@pytest.fixture
def table() -> Iterator[KernelTable]:
    with private_netns() as host, host.entered(), closing(KernelTable()) as table:
        yield table


def by_nft(step: Step) -> None:
    nft.apply(script(diff.changes(step)))


def elements(**sets: tuple[str, str, str]) -> Step:
    """A step in which sets (type, elements before, after) change."""
    return Step(
        Ruleset(sets={k: Set(t, frozenset(b.split())) for k, (t, b, _) in sets.items()}),
        Ruleset(sets={k: Set(t, frozenset(a.split())) for k, (t, _, a) in sets.items()}),
    )


def test_there_is_no_table_until_it_is_built(table: KernelTable) -> None:
    assert not table.exists()
    assert table.interfaces() == frozenset()
    table.rebuild(ruleset(STATES["one endpoint"]))
    assert table.exists()
    assert table.interfaces() == {"calia"}


def test_names_of_chains_sets_and_maps_are_listed(table: KernelTable) -> None:
    desired = ruleset(STATES["pools"])
    table.rebuild(desired)
    nft.apply("add table ip calico\nadd chain ip calico theirs\n")
    with Netlink(NETFILTER) as kernel:
        assert nfnetlink.names(kernel) == Names(
            frozenset(desired.chains), frozenset(desired.sets), frozenset(desired.maps)
        )


def test_elements_change_as_nft_would_change_them(table: KernelTable) -> None:
    table.rebuild(ruleset(STATES["two profiles"]))
    steps = [
        elements(
            **{
                "t4-app": ("ipv4_addr", "", "10.1.1.1 10.1.1.2"),
                "t6-app": ("ipv6_addr", "", "fd80::1"),
            }
        ),
        elements(**{"t4-app": ("ipv4_addr", "10.1.1.1 10.1.1.2", "10.1.1.2 10.1.1.3")}),
        Step(
            Ruleset(
                sets={"from-drops": Set("ifname", frozenset(), counted=True)},
                maps={"to-ep": VerdictMap({})},
            ),
            Ruleset(
                sets={"from-drops": Set("ifname", frozenset({'"cali9"'}), counted=True)},
                maps={"to-ep": VerdictMap({'"cali9"': "goto drop-to"})},
            ),
        ),
        Step(
            Ruleset(maps={"to-ep": VerdictMap({'"cali9"': "goto drop-to"})}),
            Ruleset(maps={"to-ep": VerdictMap({'"cali9"': "goto drop-from"})}),
        ),
    ]
    listings: list[list[list[str]]] = []
    for way in (table.take, by_nft):
        table.rebuild(ruleset(STATES["two profiles"]))
        listings.append([])
        for step in steps:
            way(step)
            listings[-1].append(sorted(nft.listing().splitlines()))
    assert listings[0] == listings[1]


def test_a_step_from_what_is_not_there_is_refused_as_a_whole(table: KernelTable) -> None:
    table.rebuild(ruleset(STATES["two profiles"]))
    before = nft.listing()
    with pytest.raises(KernelRefused, match=r"delete element .* 10\.1\.1\.9 .* no such file"):
        table.take(elements(**{"t4-app": ("ipv4_addr", "10.1.1.9", "10.1.1.1")}))
    with pytest.raises(KernelRefused, match="add rule inet calico y jump z"):
        table.take(
            Step(Ruleset(), Ruleset(chains={"x": Chain(("accept",)), "y": Chain(("jump z",))}))
        )
    assert nft.listing() == before


def test_ten_thousand_members_come_with_the_first_rule_that_asks(table: KernelTable) -> None:
    table.rebuild(policy_desired.empty())
    asked = Ruleset(
        {"pi-x": Chain(("ip saddr @t4-x return",))}, {"t4-x": Set("ipv4_addr", MEMBERS)}
    )
    table.take(Step(Ruleset(), asked))
    items = nft.list_json("set inet calico t4-x")
    (listed,) = [item["set"]["elem"] for item in items if "set" in item]
    assert set(listed) == MEMBERS
    table.take(Step(asked, Ruleset()))
    assert "t4-x" not in nft.listing()


def test_a_thousand_elements_go_in_several_messages_of_one_transaction(table: KernelTable) -> None:
    table.rebuild(ruleset(STATES["two profiles"]))
    thousand = " ".join(sorted(MEMBERS)[:1200])
    table.take(elements(**{"t4-app": ("ipv4_addr", "", thousand)}))
    assert nft.listing().count("10.0.0.") > 200
    table.take(elements(**{"t4-app": ("ipv4_addr", thousand, "")}))
    assert "10.0.0." not in nft.listing()


def test_a_rebuild_leaves_members_alone_that_are_right(table: KernelTable) -> None:
    ours = Ruleset(sets={"t4-x": Set("ipv4_addr", MEMBERS), "t6-x": Set("ipv6_addr", MEMBERS6)})
    table.rebuild(ours)
    nft.apply(
        "delete element inet calico t4-x { 10.0.1.1 }\nadd element inet calico t4-x { 1.2.3.4 }"
    )
    with Netlink(NETFILTER) as listener:
        listener.join(nfnetlink.GROUP_NFTABLES)
        table.rebuild(ours)
        kinds: Counter[int] = Counter()
        while not kinds[nfnetlink.NEW_GENERATION]:
            news = listener.news(30)
            assert news, kinds
            kinds.update(each.kind for each in news)
    came, went = nfnetlink.SUBSYSTEM | 12, nfnetlink.SUBSYSTEM | 14
    assert (kinds[came], kinds[went]) == (1, 1)
    for name, kind, members in (("t4-x", "ipv4_addr", MEMBERS), ("t6-x", "ipv6_addr", MEMBERS6)):
        with Netlink(NETFILTER) as kernel:
            assert nfnetlink.addresses(kernel, name, kind) == members


def test_a_set_in_which_more_than_addresses_is_held_is_written_anew(table: KernelTable) -> None:
    ours = Ruleset(sets={"t4-x": Set("ipv4_addr", frozenset({"10.0.0.1", "10.0.0.2"}))})
    table.rebuild(ours)
    before = nft.listing()
    nft.apply(
        "delete element inet calico t4-x { 10.0.0.1 }\n"
        'add element inet calico t4-x { 10.0.0.1 comment "mine" }'
    )
    with Netlink(NETFILTER) as kernel:
        assert nfnetlink.addresses(kernel, "t4-x", "ipv4_addr") is None
        assert nfnetlink.addresses(kernel, "t4-gone", "ipv4_addr") is None
    table.rebuild(ours)
    assert nft.listing() == before


def handles() -> dict[str, list[int]]:
    """The kernel's numbers for the rules of each chain; one that is written anew has another."""
    found: dict[str, list[int]] = {}
    for item in nft.list_json("table inet calico"):
        if rule := item.get("rule"):
            found.setdefault(rule["chain"], []).append(rule["handle"])
    return found


COUNTING = Ruleset(
    chains={
        "pi-x": Chain(
            ('tcp dport 80 counter return comment "1"', 'udp dport 53 counter drop comment "2"')
        ),
        "pi-y": Chain(("ip saddr 10.0.0.0/8 counter return",)),
    }
)
OTHERS = {
    "rule in front": "insert rule inet calico pi-x accept",
    "rule behind": "add rule inet calico pi-x accept",
    "rule replaced": 'replace rule inet calico pi-x handle {first} accept comment "1"',
    "other port": (
        'replace rule inet calico pi-x handle {first} tcp dport 81 counter return comment "1"'
    ),
    "other comment": (
        'replace rule inet calico pi-x handle {first} tcp dport 80 counter return comment "9"'
    ),
    "rule deleted": "delete rule inet calico pi-x handle {first}",
    "chain emptied": "flush chain inet calico pi-x",
}


@pytest.mark.parametrize("change", OTHERS)
def test_a_rebuild_writes_only_the_rules_of_chains_that_are_not_as_they_shall_be(
    table: KernelTable, change: str
) -> None:
    table.rebuild(COUNTING)
    # As if packets had come by.
    seen = 'tcp dport 80 counter packets 7 bytes 420 return comment "1"'
    nft.apply(f"replace rule inet calico pi-x handle {handles()['pi-x'][0]} {seen}")
    before, listed = handles(), nft.listing()
    table.rebuild(COUNTING)
    assert (handles(), nft.listing()) == (before, listed)
    assert "packets 7 bytes 420" in listed
    nft.apply(OTHERS[change].format(first=before["pi-x"][0]))
    assert nft.listing() != listed
    table.rebuild(COUNTING)
    assert nft.listing() == listed.replace("packets 7 bytes 420", "packets 0 bytes 0")
    assert handles()["pi-y"] == before["pi-y"]


def test_a_rebuild_keeps_what_was_counted_of_interfaces(table: KernelTable) -> None:
    dropped = Set("ifname", frozenset({'"cali1"', '"cali2"'}), counted=True)
    table.rebuild(Ruleset(sets={"from-drops": dropped}))
    nft.apply(
        "delete element inet calico from-drops { cali1, cali2 }\n"
        "add element inet calico from-drops { cali1 counter packets 7 bytes 420, cali3 }"
    )
    table.rebuild(Ruleset(sets={"from-drops": dropped}))
    listed = nft.listing("set inet calico from-drops")
    assert '"cali1" counter packets 7 bytes 420' in listed
    assert '"cali2" counter packets 0 bytes 0' in listed
    assert "cali3" not in listed


@pytest.mark.parametrize("state", STATES)
def test_a_table_that_is_right_keeps_its_rules(table: KernelTable, state: str) -> None:
    desired = ruleset(STATES[state])
    table.rebuild(desired)
    before, listed = handles(), nft.listing()
    table.rebuild(desired)
    assert nft.listing() == listed
    # A set inside a rule is not compared.
    anew = {name for name, each in desired.chains.items() if " { " in str(each.rules)}
    assert {name for name, each in handles().items() if each != before[name]} <= anew


@pytest.mark.parametrize("state", STATES)
def test_every_table_lists_as_if_nft_had_made_it(table: KernelTable, state: str) -> None:
    desired = ruleset(STATES[state])
    nft.apply(script(diff.rebuild(Names(), desired)))
    expected = nft.listing()
    table.delete()
    table.rebuild(desired)
    assert nft.listing() == expected


def test_deleting_the_table_twice_is_no_error_and_leaves_others_alone(table: KernelTable) -> None:
    nft.apply("add table ip calico\n")
    table.rebuild(policy_desired.empty())
    table.delete()
    table.delete()
    assert not table.exists()
    assert "table ip calico" in nft.listing("ruleset")


def test_networks_that_touch_are_listed_as_one_range(table: KernelTable) -> None:
    table.rebuild(policy_desired.empty())
    sets = {
        "pools4": Set("ipv4_addr", frozenset({"10.0.0.0/24", "10.0.1.0/25"}), interval=True),
        "pools6": Set("ipv6_addr", frozenset({"::/0"}), interval=True),
    }
    table.take(
        Step(
            Ruleset(sets={k: Set(v.type, interval=True) for k, v in sets.items()}),
            Ruleset(sets=sets),
        )
    )
    assert "10.0.0.0-10.0.1.127" in nft.listing("set inet calico pools4")
    assert "::/0" in nft.listing("set inet calico pools6")
