"""The table that this host's kernel shall hold, kept in step with the cluster change by change.

The theory. `apply` folds one etcd key into the snapshot and only notes what it may have touched: a
profile, an interface of this host, a tag. `take` looks at what was noted, compares it with what it
told last and returns the difference as a `Step`. However many changes came between two calls, each
object is looked at once, and nothing that did not change is looked at at all.

Of a whole cluster a host asks for the rules of few profiles. Those that `begin` finds are put aside
as they are written, and read when an endpoint of this host has the profile; `read_rest` reads the
others, only to know whether they can be read.

An object is made by the same function whether it is made for the first time or anew; the table as a
whole (`table`) is the sum of what was told. A test compares it with that of a fresh start.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from netaddr import IPNetwork, cidr_merge

from calico_ctl.errors import InvalidValue
from calico_ctl.model import address, keys, log_level
from calico_ctl.model.address import FAMILIES, Family
from calico_ctl.model.endpoint import Endpoint, EndpointKey, State
from calico_ctl.model.keys import Leaf, ParsedKey
from calico_ctl.model.names import INTERFACE_PREFIX
from calico_ctl.model.pool import Pool
from calico_ctl.model.rule import Direction, Rules
from calico_ctl.model.snapshot import Snapshot
from calico_ctl.policy import compile as policy_compile
from calico_ctl.policy import layout
from calico_ctl.policy.ruleset import Chain, Ruleset, Set, Step, VerdictMap
from calico_ctl.policy.tags import TagIndex


@dataclass(frozen=True, slots=True)
class Change:
    """What `take` returns: the step, and whose connections are to be looked at after it.

    `local`: some endpoint of this host was written, whether or not that changed anything.
    `judge`: addresses (as texts) whose connections the policy may not allow any more.
    `forget`: addresses that no endpoint of this host has any more.
    """

    step: Step
    local: bool = False
    judge: frozenset[str] = frozenset()
    forget: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Side:
    """One side of a step, while it is put together."""

    chains: dict[str, Chain] = field(default_factory=dict)
    sets: dict[str, Set] = field(default_factory=dict)
    # what endpoints have in static sets and in maps
    elements: dict[str, set[str]] = field(default_factory=dict)
    maps: dict[str, dict[str, str]] = field(default_factory=dict)

    def ruleset(self) -> Ruleset:
        static = layout.static_sets() if self.elements else {}
        sets = {
            name: replace(static[name], elements=frozenset(texts))
            for name, texts in self.elements.items()
        }
        maps = {name: VerdictMap(verdicts) for name, verdicts in self.maps.items()}
        return Ruleset(self.chains, self.sets | sets, maps)


@dataclass(slots=True)
class _Draft:
    """A change while it is put together."""

    before: _Side = field(default_factory=_Side)
    after: _Side = field(default_factory=_Side)
    judge: set[str] = field(default_factory=set)
    forget: set[str] = field(default_factory=set)

    def chain(self, name: str, old: Chain | None, new: Chain | None) -> None:
        if old is not None:
            self.before.chains[name] = old
        if new is not None:
            self.after.chains[name] = new

    def add_set(self, name: str, item: Set) -> None:
        """Note a set that is new, or that went earlier in the same change."""
        if self.before.sets.pop(name, None) is None:
            self.after.sets[name] = item

    def drop_set(self, name: str, item: Set) -> None:
        """Note a set that is gone, or that came earlier in the same change."""
        if self.after.sets.pop(name, None) is None:
            self.before.sets[name] = item


@dataclass(frozen=True, slots=True)
class Size:
    """How many profiles the table enforces, rules that follow from them, and sets."""

    profiles: int
    rules: int
    sets: int


class Desired:
    """One host's view of the cluster, and the table that follows from it."""

    def __init__(self, hostname: str) -> None:
        """Know nothing; the table then lets nothing pass."""
        self.snapshot = Snapshot(hostname)
        self.tags = TagIndex()
        self.local: set[EndpointKey] = set()
        """Keys of all endpoints of this host, readable or not, active or not."""
        self._hostname = hostname
        # who claims which interface; active endpoints of this host only
        self._claimed: dict[EndpointKey, str] = {}
        self._claims: dict[str, set[EndpointKey]] = {}
        # rules that were put aside: key → value, revision
        self._unread: dict[str, tuple[str, int]] = {}
        # what may have changed since the last `take`
        self._profiles_noted: set[str] = set()
        self._interfaces_noted: set[str] = set()
        self._local_noted = False
        self._pools_noted = True
        self._tunnels_noted = True
        self._settings_noted = True
        # what was told by `take`
        self._enforced: dict[str, Endpoint] = {}
        self._chains: dict[str, Chain] = {}
        self._pool_sets = _pool_sets(())
        self._host_sets: dict[str, Set] = {}
        # how many endpoints have a list of profiles, how many lists a profile
        self._lists: Counter[tuple[str, ...]] = Counter()
        self._active: Counter[str] = Counter()
        # how many profiles ask about a tag, look up a set of ports; which do which
        self._tag_users: Counter[str] = Counter()
        self._port_users: Counter[str] = Counter()
        self._tags_of: dict[str, frozenset[str]] = {}
        self._ports_of: dict[str, frozenset[str]] = {}
        self._port_sets: dict[str, Set] = {}

    @property
    def enforced(self) -> Mapping[str, Endpoint]:
        """This host's endpoints that the table lets through, by interface, as told by `take`.

        Two endpoints that claim one interface are both left out: either could be the wrong one.
        """
        return self._enforced

    @property
    def to_host(self) -> str:
        """What is done with packets from containers to this host: RETURN, ACCEPT or DROP."""
        setting = self.snapshot.setting(layout.TO_HOST_SETTING, layout.TO_HOST_DEFAULT)
        return layout.to_host_action(setting)

    @property
    def problems(self) -> dict[str, str]:
        """Every key that cannot be used, and why, as far as all has been read."""
        problems = dict(self.snapshot.problems)
        for key, value in self.snapshot.values_of(log_level.SETTING):
            if not log_level.is_one(value):
                expected = f"{', '.join(log_level.WORDS)}; until then it is info"
                problems[key] = InvalidValue(log_level.SETTING, value, expected).message
        for key, value in self.snapshot.values_of(layout.TO_HOST_SETTING):
            if not layout.is_to_host_action(value):
                expected = "RETURN, ACCEPT or DROP; until then it is DROP"
                problems[key] = InvalidValue(layout.TO_HOST_SETTING, value, expected).message
        return problems

    @property
    def all_read(self) -> bool:
        """Whether no rules are put aside any more."""
        return not self._unread

    def begin(self, entries: Mapping[str, tuple[str, int]]) -> None:
        """Fold in a read, or a part of it, key → (value, revision), but put the rules aside."""
        for key, (value, revision) in entries.items():
            if key.startswith(keys.PROFILES) and key.endswith("/rules"):
                self._unread[key] = value, revision
            else:
                self.apply(key, value, revision)

    def read_rest(self) -> None:
        """Read what is still put aside."""
        for key, (value, revision) in self._unread.items():
            self.snapshot.apply(key, value, revision)
        self._unread.clear()

    def apply(self, key: str, value: str | None, revision: int) -> ParsedKey | None:
        """Fold in one key (`value` None: it is gone); return what it was about if we follow it."""
        self._unread.pop(key, None)
        parsed = self.snapshot.apply(key, value, revision)
        if parsed is not None and parsed.endpoint is not None:
            self._note_endpoint(parsed.endpoint)
        else:
            self._note(parsed)
        return parsed

    def _note(self, parsed: ParsedKey | None) -> None:
        match parsed:
            case ParsedKey(Leaf.PROFILE_RULES, name=name):
                self._profiles_noted.add(name)
            case ParsedKey(Leaf.PROFILE_TAGS, name=name):
                self.tags.set_profile(name, self.snapshot.tags.get(name, ()))
            case ParsedKey(Leaf.POOL):
                self._pools_noted = self._tunnels_noted = True
            case ParsedKey(Leaf.HOST_IPV4 | Leaf.HOST_IPV6 | Leaf.BGP_HOST):
                self._tunnels_noted = True
            case ParsedKey(Leaf.GLOBAL_CONFIG | Leaf.HOST_CONFIG):
                self._settings_noted = True
            case _:
                pass

    def _note_endpoint(self, key: EndpointKey) -> None:
        self.tags.set_endpoint(key, self.snapshot.members.get(key))
        if key.host == self._hostname:
            self._note_local(key)

    def take(self) -> Change:
        """Return what changed since the last call; after the first one `table` is complete."""
        draft = _Draft()
        local, self._local_noted = self._local_noted, False
        self._take_interfaces(draft)
        tags = self._take_profiles(draft)
        self._take_tags(tags, draft)
        self._take_pools(draft)
        self._take_tunnels(draft)
        self._take_settings(draft)
        gone = frozenset(draft.forget - self.addresses()) if draft.forget else frozenset()
        step = Step(draft.before.ruleset(), draft.after.ruleset())
        return Change(step, local, frozenset(draft.judge - gone), gone)

    def table(self) -> Ruleset:
        """Return the whole table: the sum of all that `take` told."""
        elements: dict[str, set[str]] = {}
        maps: dict[str, dict[str, str]] = {name: {} for name in layout.DISPATCH}
        for endpoint in self._enforced.values():
            for name, texts in _elements(endpoint).items():
                elements.setdefault(name, set()).update(texts)
            for name, (key, verdict) in _verdicts(endpoint).items():
                maps[name][key] = verdict
        sets = {
            name: replace(static, elements=static.elements.union(elements.get(name, ())))
            for name, static in layout.static_sets().items()
        }
        for tag in self._tag_users:
            sets |= self._tag_sets(tag)
        return Ruleset(
            layout.static_chains() | self._chains,
            sets | self._pool_sets | self._host_sets | self._port_sets,
            {name: VerdictMap(verdicts) for name, verdicts in maps.items()},
        )

    def size(self) -> Size:
        """Return how much the table holds, without making it."""
        return Size(
            profiles=len(self._active),
            rules=sum(len(chain.rules) for chain in self._chains.values()),
            sets=len(layout.static_sets().keys() | self._pool_sets.keys() | self._host_sets.keys())
            + len(FAMILIES) * len(self._tag_users)
            + len(self._port_sets),
        )

    def shut_out(self, key: EndpointKey) -> str:
        """Say why an active endpoint of this host is not let through; empty if it is."""
        endpoint = self.snapshot.endpoints.get(key)
        if endpoint is None or endpoint.state is not State.ACTIVE:
            return ""
        if not endpoint.name.startswith(INTERFACE_PREFIX):
            return f"its interface is {endpoint.name}, and ours begin with {INTERFACE_PREFIX}"
        others = self._claims.get(endpoint.name, set()) - {key}
        if others:
            return f"endpoint {min(others).id} claims its interface {endpoint.name} too"
        return ""

    def addresses(self, profile: str | None = None) -> set[str]:
        """Return the addresses of the enforced endpoints, or of those that have a profile."""
        return {
            text
            for endpoint in self._enforced.values()
            if profile is None or profile in endpoint.profiles
            for text in _addresses(endpoint)
        }

    def _note_local(self, key: EndpointKey) -> None:
        self._local_noted = True
        if key in self.snapshot.revisions:
            self.local.add(key)
        else:
            self.local.discard(key)
        claimed = self._claimed.pop(key, None)
        if claimed is not None:
            self._claims[claimed].discard(key)
            self._interfaces_noted.add(claimed)
        endpoint = self.snapshot.endpoints.get(key)
        if endpoint is None or endpoint.state is not State.ACTIVE:
            return
        if endpoint.name.startswith(INTERFACE_PREFIX):
            self._claimed[key] = endpoint.name
            self._claims.setdefault(endpoint.name, set()).add(key)
            self._interfaces_noted.add(endpoint.name)

    def _take_interfaces(self, draft: _Draft) -> None:
        lists = set()
        for name in self._interfaces_noted:
            claims = self._claims.get(name) or ()
            old = self._enforced.pop(name, None)
            new = self.snapshot.endpoints[next(iter(claims))] if len(claims) == 1 else None
            if new is not None:
                self._enforced[name] = new
            if old == new:
                continue
            _move(old, new, draft)
            for endpoint, by in ((old, -1), (new, 1)):
                if endpoint is not None:
                    self._lists[endpoint.profiles] += by
                    lists.add(endpoint.profiles)
        self._interfaces_noted.clear()
        for profiles in lists:
            self._take_list(profiles, draft)

    def _take_list(self, profiles: tuple[str, ...], draft: _Draft) -> None:
        """Make the chains of a list of profiles that is used now, or drop those of one that was."""
        used = self._lists[profiles] > 0
        if not used:
            del self._lists[profiles]
        if used == (policy_compile.endpoint_chain(profiles, Direction.INBOUND) in self._chains):
            return
        for direction in Direction:
            name = policy_compile.endpoint_chain(profiles, direction)
            new = Chain(policy_compile.endpoint_rules(profiles, direction)) if used else None
            self._tell_chain(name, new, draft)
        for profile in profiles:
            self._active[profile] += 1 if used else -1
            self._profiles_noted.add(profile)

    def _take_profiles(self, draft: _Draft) -> set[str]:
        """Rewrite the chains of the noted profiles; return the tags that they ask about or did."""
        touched: set[str] = set()
        for profile in self._profiles_noted:
            used = self._active[profile] > 0
            if not used:
                del self._active[profile]
            rules = self._rules(profile)
            for direction in Direction:
                new = Chain(policy_compile.profile_rules(rules, direction)) if used else None
                name = policy_compile.profile_chain(profile, direction)
                if self._tell_chain(name, new, draft):
                    draft.judge |= self.addresses(profile)
            asking = rules if used and rules is not None else Rules()
            touched |= _use(profile, asking.tags(), self._tags_of, self._tag_users)
            self._take_ports(profile, policy_compile.port_sets(asking), draft)
        self._profiles_noted.clear()
        return touched

    def _rules(self, profile: str) -> Rules | None:
        key = keys.profile_rules(profile)
        if key in self._unread:
            self.snapshot.apply(key, *self._unread.pop(key))
        return self.snapshot.rules.get(profile)

    def _take_ports(self, profile: str, sets: dict[str, Set], draft: _Draft) -> None:
        """Take over which sets of ports a profile looks up now."""
        for name in _use(profile, frozenset(sets), self._ports_of, self._port_users):
            if self._port_users[name] > 0:
                if name not in self._port_sets:
                    self._port_sets[name] = sets[name]
                    draft.add_set(name, sets[name])
            else:
                del self._port_users[name]
                draft.drop_set(name, self._port_sets.pop(name))

    def _take_tags(self, touched: Iterable[str], draft: _Draft) -> None:
        changes = self.tags.changes()
        for tag in touched:
            if self._tag_users[tag] > 0 and not self.tags.watches(tag):
                self.tags.watch(tag)
                draft.after.sets |= self._tag_sets(tag)
            elif self._tag_users[tag] <= 0:
                del self._tag_users[tag]
                if self.tags.watches(tag):
                    self.tags.forget(tag)
                    draft.before.sets |= self._tag_sets(tag)
        for (tag, family), (left, joined) in changes.items():
            if self._tag_users[tag] > 0:
                name, kind = policy_compile.tag_set(tag, family), layout.ADDRESS_TYPE[family]
                draft.before.sets[name] = Set(kind, left)
                draft.after.sets[name] = Set(kind, joined)
                draft.judge |= left
                draft.judge |= joined

    def _tag_sets(self, tag: str) -> dict[str, Set]:
        return {
            policy_compile.tag_set(tag, family): Set(
                layout.ADDRESS_TYPE[family], self.tags.members(tag, family)
            )
            for family in FAMILIES
        }

    def _take_pools(self, draft: _Draft) -> None:
        if not self._pools_noted:
            return
        self._pools_noted = False
        now = _pool_sets(self.snapshot.pools.values())
        for name, new in now.items():
            if (old := self._pool_sets[name]) != new:
                draft.before.sets[name], draft.after.sets[name] = old, new
        self._pool_sets = now
        masquerade = any(pool.masquerade for pool in self.snapshot.pools.values())
        self._tell_chain(
            layout.MASQUERADE_CHAIN, layout.masquerade_chain() if masquerade else None, draft
        )

    def _take_tunnels(self, draft: _Draft) -> None:
        """Take over whether there are tunnels to guard, and who may send into them."""
        if not self._tunnels_noted:
            return
        self._tunnels_noted = False
        needed = any(pool.ipip or pool.vxlan for pool in self.snapshot.pools.values())
        old = self._host_sets
        self._host_sets = layout.host_sets(self.snapshot.hosts.values()) if needed else {}
        for name in layout.host_sets(()):
            before, after = old.get(name), self._host_sets.get(name)
            if before == after:
                continue
            if before is not None:
                draft.before.sets[name] = before
            if after is not None:
                draft.after.sets[name] = after
        for name, chain in layout.tunnel_chains().items():
            self._tell_chain(name, chain if needed else None, draft)

    def _take_settings(self, draft: _Draft) -> None:
        if not self._settings_noted:
            return
        self._settings_noted = False
        if self._tell_chain(layout.TO_HOST_CHAIN, layout.to_host_chain(self.to_host), draft):
            draft.judge |= self.addresses()

    def _tell_chain(self, name: str, new: Chain | None, draft: _Draft) -> bool:
        """Take over what a chain is now (None: gone); say whether it was there with other rules."""
        old = self._chains.get(name)
        if old == new:
            return False
        draft.chain(name, old, new)
        if new is None:
            del self._chains[name]
        else:
            self._chains[name] = new
        return old is not None and new is not None


def _use(
    profile: str, names: frozenset[str], of: dict[str, frozenset[str]], users: Counter[str]
) -> frozenset[str]:
    """Take over which names a profile uses; return those that it used before or uses now."""
    before = of.pop(profile, frozenset())
    if names:
        of[profile] = names
    users.update(names)
    users.subtract(before)
    return before | names


def empty() -> Ruleset:
    """Return the table before anything is known: nothing passes any interface of ours."""
    nothing = Desired("")
    nothing.take()
    return nothing.table()


def _move(old: Endpoint | None, new: Endpoint | None, draft: _Draft) -> None:
    """Replace what an interface's endpoint has in sets and maps, and note its connections."""
    for side, endpoint in ((draft.before, old), (draft.after, new)):
        if endpoint is None:
            continue
        for name, texts in _elements(endpoint).items():
            for each in (draft.before, draft.after):
                each.elements.setdefault(name, set())
            side.elements[name] |= texts
        for name, (key, verdict) in _verdicts(endpoint).items():
            for each in (draft.before, draft.after):
                each.maps.setdefault(name, {})
            side.maps[name][key] = verdict
    before, after = (_addresses(each) if each is not None else set() for each in (old, new))
    draft.forget |= before - after
    draft.judge |= after - before
    if old is not None and new is not None and old.profiles != new.profiles:
        draft.judge |= after


def _addresses(endpoint: Endpoint) -> set[str]:
    return {str(ip) for ip in endpoint.addresses}


def _elements(endpoint: Endpoint) -> dict[str, frozenset[str]]:
    """Return the elements of an endpoint, by set.

    Interface and address are bound, and interface and MAC (where known), so that nobody can use
    another's.
    """
    interface = f'"{endpoint.name}"'
    elements: dict[str, frozenset[str]] = dict.fromkeys(layout.DROPPED, frozenset({interface}))
    if endpoint.mac is None:
        elements[layout.ANY_MAC] = frozenset({interface})
    else:
        elements[layout.MACS] = frozenset({f"{interface} . {endpoint.mac}"})
    for family in FAMILIES:
        if addresses := endpoint.of_family(family):
            elements[f"src{family}"] = frozenset(f"{interface} . {ip}" for ip in addresses)
    return elements


def _verdicts(endpoint: Endpoint) -> dict[str, tuple[str, str]]:
    """Return the key and verdict of an endpoint in each dispatch map."""
    return {
        name: (
            f'"{endpoint.name}"',
            f"goto {policy_compile.endpoint_chain(endpoint.profiles, direction)}",
        )
        for name, direction in zip(
            layout.DISPATCH, (Direction.OUTBOUND, Direction.INBOUND), strict=True
        )
    }


def _pool_sets(pools: Iterable[Pool]) -> dict[str, Set]:
    pools = tuple(pools)
    sets = {}
    for family in FAMILIES:
        sets[f"pools{family}"] = _networks(family, (pool.cidr for pool in pools))
        sets[f"masq{family}"] = _networks(family, (pool.cidr for pool in pools if pool.masquerade))
    return sets


def _networks(family: Family, cidrs: Iterable[IPNetwork]) -> Set:
    ours = [cidr for cidr in cidrs if address.family(cidr) == family]
    texts = frozenset(str(cidr) for cidr in cidr_merge(ours))
    return Set(layout.ADDRESS_TYPE[family], texts, interval=True)
