from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from netaddr import IPNetwork

from calico_ctl.datastore import config, pools, profiles
from calico_ctl.errors import CalicoError
from calico_ctl.model import codec
from calico_ctl.model.manifest import Stated
from calico_ctl.model.pool import Pool
from calico_ctl.model.profile import Profile
from calico_ctl.model.rule import Rule, Rules
from calico_ctl.workload import manifest_plan, manifests
from tests.support.manifests import things
from tests.support.memory_store import Breaking, MemoryStore

WEB = Profile("web", ("web", "x"), Rules((Rule(src_tag="web"),), (Rule(),)))
DB = Profile("db", ("db",), Rules((Rule(src_tag="web"),)))
POOL = Pool(IPNetwork("10.65.0.0/16"), ipip=True)


def apply(store: MemoryStore, *wanted: Profile | Pool) -> list[str]:
    there, _ = manifests.present(store)
    steps = manifest_plan.plan(there, [Stated(each, "a.yaml") for each in wanted])
    done: list[str] = []
    manifests.carry_out(store, there, steps, lambda step: done.append(str(step)))
    return done


def test_what_is_applied_is_there_and_applying_it_again_writes_nothing() -> None:
    store = MemoryStore()
    assert apply(store, WEB, POOL, DB) == [
        "pool 10.65.0.0/16 created",
        "profile web created",
        "profile db created",
    ]
    assert manifests.present(store)[0].profiles == {"db": DB, "web": WEB}
    assert pools.all(store) == [POOL]
    written = store.writes
    assert apply(store, WEB, POOL, DB) == [
        "pool 10.65.0.0/16 unchanged",
        "profile web unchanged",
        "profile db unchanged",
    ]
    assert store.writes == written


def test_a_pool_that_is_there_is_disabled_and_enabled() -> None:
    store = MemoryStore()
    apply(store, POOL)
    disabled = replace(POOL, disabled=True)
    for wanted in (disabled, POOL):
        assert apply(store, wanted) == ["pool 10.65.0.0/16 changed"]
        assert pools.all(store) == [wanted]
        assert apply(store, wanted) == ["pool 10.65.0.0/16 unchanged"]


def test_ipip_is_turned_on_by_a_pool_that_wants_it() -> None:
    store = MemoryStore()
    apply(store, Pool(IPNetwork("10.66.0.0/16")))
    assert config.get(store, "IpInIpEnabled") is None
    apply(store, POOL)
    assert config.get(store, "IpInIpEnabled") == "true"


def test_broken_values_are_seen_and_replaced() -> None:
    store = MemoryStore()
    apply(store, WEB)
    for key in ("tags", "rules"):
        store.put(f"/calico/policy/profile/web/{key}", "nonsense")
        there, problems = manifests.present(store)
        assert [problem.key for problem in problems] == ["/calico/policy/profile/web"]
        assert there.unreadable == {"/calico/policy/profile/web"}
        assert apply(store, WEB) == ["profile web changed"]
        assert profiles.read(store, "web") == WEB


def test_a_profile_without_keys_is_one_without_tags_and_rules() -> None:
    store = MemoryStore()
    store.create("/calico/policy/profile/web", None)
    assert apply(store, Profile("web")) == ["profile web unchanged"]


ALL = (POOL, WEB, DB)
OLD = Profile("web", ("old",))
WRITES_OF_ALL = {False: 8, True: 3}
"""One by one, and where all writes to profiles are one."""


def breaking(transactional: bool) -> Breaking:
    store = Breaking()
    store.transactional = transactional
    apply(store, OLD)
    return store


@pytest.mark.parametrize(
    ("transactional", "writes"),
    [(kind, number) for kind, limit in WRITES_OF_ALL.items() for number in range(limit)],
)
def test_stopped_after_any_write_it_names_what_is_left_and_a_second_run_finishes(
    transactional, writes
) -> None:
    store = breaking(transactional)
    store.left = writes
    there, _ = manifests.present(store)
    steps = manifest_plan.plan(there, [Stated(each, "") for each in ALL])
    done: list[str] = []
    with pytest.raises(CalicoError) as caught:
        manifests.carry_out(store, there, steps, lambda step: done.append(str(step)))
    message = caught.value.message
    left = message.removeprefix("not finished: ").partition(": ")[0].split(", ")
    finished = [" ".join(text.split()[:2]) for text in done]
    assert sorted(finished + left) == ["pool 10.65.0.0/16", "profile db", "profile web"]
    assert left
    assert "cannot reach etcd at memory:0 (gone)" in message
    assert caught.value.hint == "the same command again goes on from here"
    if transactional:
        assert manifests.present(store)[0].profiles == {"web": OLD}
    store.left = None
    apply(store, *ALL)
    assert manifests.present(store)[0].profiles == {"db": DB, "web": WEB}
    assert pools.all(store) == [POOL]
    assert config.get(store, "IpInIpEnabled") == "true"


@pytest.mark.parametrize("transactional", WRITES_OF_ALL)
def test_that_is_every_number_of_writes(transactional) -> None:
    store = breaking(transactional)
    store.left = WRITES_OF_ALL[transactional]
    assert len(apply(store, *ALL)) == len(ALL)
    assert store.left == 0


@pytest.mark.parametrize("others", [POOL, Pool(POOL.cidr)])
def test_a_pool_that_somebody_else_makes_at_that_moment_has_to_be_the_same(others) -> None:
    class Overtaken(MemoryStore):
        def create(self, key: str, value: str | None):
            if key.endswith("10.65.0.0-16") and self.get(key) is None:
                super().create(key, codec.encode_pool(others))
            return super().create(key, value)

    store = Overtaken()
    if others == POOL:
        assert apply(store, POOL) == ["pool 10.65.0.0/16 created"]
    else:
        with pytest.raises(CalicoError, match=r"pool 10.65.0.0/16 exists already with other opt"):
            apply(store, POOL)


def test_a_change_by_somebody_else_meanwhile_does_not_stop_it() -> None:
    store = MemoryStore()
    there, _ = manifests.present(store)
    steps = manifest_plan.plan(there, [Stated(WEB, ""), Stated(POOL, "")])
    profiles.create(store, "web")
    pools.create(store, POOL)
    manifests.carry_out(store, there, steps, lambda _step: None)
    assert profiles.read(store, "web") == WEB


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(old=things, new=things)
def test_whatever_is_there_profiles_become_what_is_stated(old, new) -> None:
    store = MemoryStore()
    apply(store, *old)
    wanted = [each for each in new if isinstance(each, Profile)]
    apply(store, *wanted)
    for each in wanted:
        found = profiles.read(store, each.name)
        assert (set(found.tags), found.rules) == (set(each.tags), each.rules)
    written = store.writes
    apply(store, *wanted)
    assert store.writes == written
