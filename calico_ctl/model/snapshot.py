"""All that the policy agent knows of the cluster, folded from etcd one key at a time.

A key that cannot be read is left out, so that what depends on it closes, and is remembered in
`problems` with the reason. Nothing here raises on bad data.
"""

from contextlib import suppress
from dataclasses import dataclass, field

from netaddr import IPAddress, IPNetwork

from calico_ctl.errors import InvalidValue
from calico_ctl.model import address, codec, keys, names
from calico_ctl.model.endpoint import Endpoint, EndpointKey, Membership
from calico_ctl.model.keys import Leaf, ParsedKey
from calico_ctl.model.pool import Pool
from calico_ctl.model.rule import Rules


@dataclass(slots=True)
class Snapshot:
    """The readable part of the tree, as the host `hostname` needs it.

    `members` says of each endpoint, on all hosts, what policy elsewhere depends on. `endpoints` are
    those of this host; `revisions` are of their keys, readable or not. `rules` has a key for each
    profile with readable rules, `tags` for each with readable tags. `hosts` are the addresses of
    hosts, by what says so.
    """

    hostname: str
    ready: bool = False
    rules: dict[str, Rules] = field(default_factory=dict)
    tags: dict[str, tuple[str, ...]] = field(default_factory=dict)
    members: dict[EndpointKey, Membership] = field(default_factory=dict)
    endpoints: dict[EndpointKey, Endpoint] = field(default_factory=dict)
    revisions: dict[EndpointKey, int] = field(default_factory=dict)
    pools: dict[IPNetwork, Pool] = field(default_factory=dict)
    hosts: dict[ParsedKey, IPAddress] = field(default_factory=dict)
    config: dict[str, str] = field(default_factory=dict)
    host_config: dict[tuple[str, str], str] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def setting(self, name: str, default: str) -> str:
        """Return a setting: the host's own, else the cluster's, else the default."""
        own = self.host_config.get((self.hostname, name))
        return self.config.get(name, default) if own is None else own

    def values_of(self, name: str) -> list[tuple[str, str]]:
        """Return the keys that give a setting a value on this host, with the values."""
        found = [
            (keys.host_config(self.hostname, name), self.host_config.get((self.hostname, name))),
            (keys.global_config(name), self.config.get(name)),
        ]
        return [(key, value) for key, value in found if value is not None]

    def apply(self, key: str, value: str | None, revision: int) -> ParsedKey | None:
        """Fold in one key (`value` None: it is gone); return what it was about if we follow it."""
        parsed = keys.parse(key)
        if parsed is None:
            return None
        self.problems.pop(key, None)
        try:
            # By far the most are endpoints.
            if parsed.endpoint is not None:
                self._apply_endpoint(parsed.endpoint, value, revision)
            else:
                self._forget(parsed)
                if value is not None:
                    self._learn(parsed, value)
        except InvalidValue as error:
            self.problems[key] = error.message
        return parsed

    def _apply_endpoint(self, key: EndpointKey, value: str | None, revision: int) -> None:
        self.members.pop(key, None)
        if key.host != self.hostname:
            if value is not None:
                self.members[key] = codec.decode_membership(value)
            return
        self.endpoints.pop(key, None)
        self.revisions.pop(key, None)
        if value is not None:
            self.revisions[key] = revision
            self.endpoints[key] = codec.decode_endpoint(key, value)
            self.members[key] = self.endpoints[key].membership

    def _learn(self, parsed: ParsedKey, value: str) -> None:
        match parsed:
            case ParsedKey(Leaf.READY):
                self.ready = value == "true"
            case ParsedKey(Leaf.PROFILE_RULES, name=name):
                self.rules[names.parse_profile_name(name)] = codec.decode_rules(value)
            case ParsedKey(Leaf.PROFILE_TAGS, name=name):
                self.tags[names.parse_profile_name(name)] = codec.decode_tags(value)
            case ParsedKey(Leaf.POOL, name=name):
                cidr = keys.parse_cidr_segment(name)
                self.pools[cidr] = codec.decode_pool(cidr, value)
            case ParsedKey(Leaf.GLOBAL_CONFIG, name=name):
                self.config[name] = value
            case ParsedKey(Leaf.HOST_CONFIG, name=name, host=host):
                self.host_config[(host, name)] = value
            case _:
                self._learn_host(parsed, value)

    def _learn_host(self, parsed: ParsedKey, value: str) -> None:
        """Take in the address of a host; one that cannot be read is routing's to complain of."""
        if _is_of_host(parsed):
            with suppress(InvalidValue):
                self.hosts[parsed] = address.parse_address(value.strip())

    def _forget(self, parsed: ParsedKey) -> None:
        match parsed:
            case ParsedKey(Leaf.READY):
                self.ready = False
            case ParsedKey(Leaf.PROFILE_RULES, name=name):
                self.rules.pop(name, None)
            case ParsedKey(Leaf.PROFILE_TAGS, name=name):
                self.tags.pop(name, None)
            case ParsedKey(Leaf.POOL, name=name):
                # The key may spell the network with host bits: what it means is what goes.
                with suppress(InvalidValue):
                    self.pools.pop(keys.parse_cidr_segment(name), None)
            case ParsedKey(Leaf.GLOBAL_CONFIG, name=name):
                self.config.pop(name, None)
            case ParsedKey(Leaf.HOST_CONFIG, name=name, host=host):
                self.host_config.pop((host, name), None)
            case _:
                self.hosts.pop(parsed, None)


def _is_of_host(parsed: ParsedKey) -> bool:
    if parsed.leaf is Leaf.BGP_HOST:
        return parsed.name in {"ip_addr_v4", "ip_addr_v6"}
    return parsed.leaf in {Leaf.HOST_IPV4, Leaf.HOST_IPV6}
