"""JSON in etcd ⇄ values.

Every `decode_*` raises InvalidValue and nothing else, whatever the text. Writers use the user
guide's shapes; readers take the historical ones too:

- rules: `inbound`/`outbound` (written) or `id`/`inbound_rules`/`outbound_rules`
- endpoint: `profile_id` alone (written for up to one profile), or with the list `profile_ids`
- pool: an object (written) or the bare CIDR
- tags: a JSON list (written) or, as a shell leaves it when it eats the quotes, `[a,b]`
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, NoReturn, TypeVar

from netaddr import IPAddress, IPNetwork

from calico_ctl.errors import InvalidValue
from calico_ctl.model import address, names
from calico_ctl.model.endpoint import (
    Endpoint,
    EndpointKey,
    Membership,
    ShownEndpoint,
    State,
)
from calico_ctl.model.pool import Pool

if TYPE_CHECKING:
    # Many classes, which take longer to make than whoever reads endpoints or pools takes for them.
    from calico_ctl.model.bgp import BgpPeer, Reflector
    from calico_ctl.model.rule import Rules

JsonObject = dict[str, object]
_T = TypeVar("_T")

_BARE_LIST = re.compile(r"\s*\[([^\[\]\"]*)\]\s*")

_ENDPOINT_FIELDS = frozenset(
    {"state", "name", "mac", "profile_id", "profile_ids", "ipv4_nets", "ipv6_nets"}
    | {"ipv4_gateway", "ipv6_gateway"}
)
_POOL_FIELDS = frozenset({"cidr", "ipip", "masquerade", "vxlan", "cross_subnet", "disabled"})
_IPIP_DEVICE = "tunl0"
_VXLAN_DEVICE = "vxlan.calico"

# How `encode_endpoint` writes one with no more than one address of a family, as most are: up to its
# addresses, which with the profile are what is found; and behind them, where gateways are found and
# the list of profiles between its outer quotes.
_NAME = "[A-Za-z0-9_.-]*"
_BETWEEN = '", "'
_WRITTEN_FIRST = (
    r'\{"state": "(?:in)?active", "name": "cali[A-Za-z0-9_.-]{0,11}",'
    r' "mac": (?:null|"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}"),'
    rf' "profile_id": (?:null|"({_NAME})"),'
    r' "ipv4_nets": \[(?:"([0-9.]+)/32")?\], "ipv6_nets": \[(?:"([0-9a-f:]+)/128")?\],'
)
_WRITTEN_LAST = (
    r' "ipv4_gateway": (?:null|"([0-9.]+)"), "ipv6_gateway": (?:null|"([0-9a-f:]+)")'
    rf'(?:, "profile_ids": \["({_NAME}(?:{_BETWEEN}{_NAME})*)"\])?\}}'
)

_NOTHING: Mapping[str, object] = MappingProxyType({})

# There are far fewer gateways than endpoints: one a host and family. Each is made once and shared.
_parse_ipv4_gateway = lru_cache(maxsize=4096)(address.parse_ipv4)
_parse_ipv6_gateway = lru_cache(maxsize=4096)(address.parse_ipv6)

_STATES = {state.value: state for state in State}


class _Shared(NamedTuple):
    """What many endpoints have in common: profiles, and gateways as they are written."""

    profiles: tuple[str, ...]
    ipv4_gateway: str | None
    ipv6_gateway: str | None


def decode_rules(text: str) -> "Rules":
    """Read a profile's rules in either shape; unknown fields make the whole value invalid."""
    from calico_ctl.model import rule_json

    return rule_json.from_object(_object("rules", text))


def encode_rules(rules: "Rules") -> str:
    """Write a profile's rules in the guide's shape."""
    from calico_ctl.model import rule_json

    return json.dumps(rule_json.to_object(rules))


def decode_tags(text: str) -> tuple[str, ...]:
    """Read a list of tags, each once, in the order given."""
    try:
        value = _load("tags", text)
    except InvalidValue:
        value = _unquoted_names(text)
    if not isinstance(value, list):
        raise InvalidValue("tags", text, 'a JSON list of names such as ["web", "db"]')
    tags = [names.parse_tag(_text("tag", tag)) for tag in value]
    return tuple(dict.fromkeys(tags))


def tags_lost_their_quotes(text: str) -> bool:
    """Say whether `text` is a tag list that only a lenient reader understands."""
    try:
        _load("tags", text)
    except InvalidValue:
        return _BARE_LIST.fullmatch(text) is not None
    return False


def encode_tags(tags: Iterable[str]) -> str:
    """Write a list of tags."""
    return json.dumps(list(tags))


def decode_endpoint(key: EndpointKey, text: str) -> Endpoint:
    """Read the endpoint that lives under `key`."""
    fields = _object("endpoint", text)
    state, name, mac, ipv4_gateway, ipv6_gateway = _for_its_host(fields)
    return Endpoint(
        key=key,
        state=state,
        name=name,
        mac=mac,
        profiles=_profiles(fields),
        addresses=(
            *_nets("ipv4_nets", fields.get("ipv4_nets"), address.parse_ipv4, "32"),
            *_nets("ipv6_nets", fields.get("ipv6_nets"), address.parse_ipv6, "128"),
        ),
        ipv4_gateway=ipv4_gateway,
        ipv6_gateway=ipv6_gateway,
        extra=_others(fields, _ENDPOINT_FIELDS),
    )


def decode_membership(text: str) -> Membership:
    """Read what other hosts have to know of an endpoint; refuse what `decode_endpoint` refuses.

    In a quarter of its time and a third of the memory: a starting agent reads those of all hosts.
    """
    read = _as_written(text)
    if read is not None:
        return read[0]
    fields = _object("endpoint", text)
    _for_its_host(fields)
    return Membership(
        _profiles(fields),
        _nets("ipv4_nets", fields.get("ipv4_nets"), address.canonical_ipv4, "32"),
        _nets("ipv6_nets", fields.get("ipv6_nets"), address.canonical_ipv6, "128"),
    )


def decode_shown(key: EndpointKey, text: str) -> ShownEndpoint:
    """Read what people are shown of an endpoint; refuse what `decode_endpoint` refuses.

    In a quarter of its time where it is written as we write it.
    """
    read = _as_written(text)
    if read is None:
        return decode_endpoint(key, text).shown
    words = text.split('"', 12)
    membership, (_, gateway4, gateway6) = read
    return ShownEndpoint(
        key,
        _STATES[words[3]],
        names.parse_interface(words[7]),
        words[11] if words[10] == ": " else None,
        membership.profiles,
        membership.ipv4 + membership.ipv6,
        gateway4 and address.canonical_ipv4(gateway4),
        gateway6 and address.canonical_ipv6(gateway6),
    )


def encode_endpoint(endpoint: Endpoint) -> str:
    """Write an endpoint: the guide's eight fields, a list of profiles only from two on."""
    fields: JsonObject = dict(endpoint.extra)
    fields |= {
        "state": endpoint.state.value,
        "name": endpoint.name,
        "mac": endpoint.mac,
        "profile_id": endpoint.profiles[0] if endpoint.profiles else None,
        "ipv4_nets": [address.host_network(ip) for ip in endpoint.of_family(4)],
        "ipv6_nets": [address.host_network(ip) for ip in endpoint.of_family(6)],
        "ipv4_gateway": _text_or_none(endpoint.ipv4_gateway),
        "ipv6_gateway": _text_or_none(endpoint.ipv6_gateway),
    }
    if len(endpoint.profiles) > 1:
        fields["profile_ids"] = list(endpoint.profiles)
    return json.dumps(fields)


def decode_pool(cidr: IPNetwork, text: str) -> Pool:
    """Read the pool whose key says `cidr`; raise InvalidValue if the value disagrees."""
    if not text.lstrip().startswith("{"):
        fields: JsonObject = {"cidr": text.strip()}
    else:
        fields = _object("pool", text)
    written = address.parse_network(_text("pool CIDR", fields.get("cidr")), "pool CIDR")
    if written != cidr:
        raise InvalidValue("pool CIDR", str(written), f"{cidr}, as the key says")
    ipip, vxlan = bool(fields.get("ipip")), bool(fields.get("vxlan"))
    if ipip and vxlan:
        raise InvalidValue("pool", text, "ipip or vxlan, not both")
    return Pool(
        cidr=cidr,
        ipip=ipip,
        masquerade=_flag("masquerade", fields.get("masquerade", False)),
        vxlan=vxlan,
        cross_subnet=_flag("cross_subnet", fields.get("cross_subnet", False)),
        disabled=_flag("disabled", fields.get("disabled", False)),
        extra=_others(fields, _POOL_FIELDS),
    )


def encode_pool(pool: Pool) -> str:
    """Write a pool; options that are off are left out."""
    fields: JsonObject = dict(pool.extra) | {"cidr": str(pool.cidr)}
    if pool.ipip:
        fields["ipip"] = _IPIP_DEVICE
    if pool.masquerade:
        fields["masquerade"] = True
    if pool.vxlan:
        fields["vxlan"] = _VXLAN_DEVICE
    if pool.cross_subnet:
        fields["cross_subnet"] = True
    if pool.disabled:
        fields["disabled"] = True
    return json.dumps(fields)


def decode_mesh_enabled(text: str) -> bool:
    """Read whether all hosts peer with each other."""
    return _flag("node_mesh", _object("node_mesh", text).get("enabled"))


def encode_mesh_enabled(enabled: bool) -> str:
    """Write whether all hosts peer with each other."""
    return json.dumps({"enabled": enabled})


def decode_bgp_peer(ip: IPAddress, text: str) -> "BgpPeer":
    """Read the BGP peer whose key says `ip`. No error shows the value: it may hold a password."""
    from calico_ctl.model.bgp import BgpPeer
    from calico_ctl.model.node import parse_as_number

    fields = _hidden_object("BGP peer", text)
    _require_same(ip, "BGP peer address", fields.get("ip"))
    as_number = fields.get("as_num")
    # Older tools wrote a number.
    is_number = isinstance(as_number, int) and not isinstance(as_number, bool)
    return BgpPeer(
        ip=ip,
        as_number=parse_as_number(str(as_number) if is_number else _text("AS number", as_number)),
        password=_password(fields.get("password")),
    )


def encode_bgp_peer(peer: "BgpPeer") -> str:
    """Write a BGP peer, the password only if there is one."""
    fields = {"ip": str(peer.ip), "as_num": str(peer.as_number)}
    return json.dumps(fields | ({"password": peer.password} if peer.password else {}))


def decode_reflector(ip: IPAddress, text: str) -> "Reflector":
    """Read the route reflector whose key says `ip`."""
    from calico_ctl.model import bgp

    fields = _object("route reflector", text)
    _require_same(ip, "route reflector address", fields.get("ip"))
    return bgp.Reflector(ip, bgp.parse_cluster_id(_text("cluster id", fields.get("cluster_id"))))


def encode_reflector(reflector: "Reflector") -> str:
    """Write a route reflector."""
    return json.dumps({"ip": str(reflector.ip), "cluster_id": str(reflector.cluster_id)})


def decode_block_affinity(text: str) -> str | None:
    """Read which host an address block says that it prefers; nothing else of the block is read."""
    affinity = _object("block", text).get("affinity")
    return None if affinity is None else _text("affinity", affinity).removeprefix("host:")


@cache
def _written_first() -> re.Pattern[str]:
    """Compile the pattern: most commands read no endpoints, and it takes a while."""
    return re.compile(_WRITTEN_FIRST)


def _as_written(text: str) -> tuple[Membership, _Shared] | None:
    """Read an endpoint as we write it; None if it has to be read in full to be understood."""
    found = _written_first().match(text)
    if found is None:
        return None
    alone, ipv4, ipv6 = found.groups()
    shared = _shared_as_written(alone, text[found.end() :])
    if shared is None:
        return None
    membership = Membership(
        shared.profiles,
        (address.canonical_ipv4(ipv4, "ipv4_nets"),) if ipv4 else (),
        (address.canonical_ipv6(ipv6, "ipv6_nets"),) if ipv6 else (),
    )
    return membership, shared


@lru_cache(maxsize=4096)
def _shared_as_written(alone: str | None, text: str) -> _Shared | None:
    """Read what follows the addresses; `alone` is the profile that stands before them."""
    found = re.fullmatch(_WRITTEN_LAST, text)
    if found is None:
        return None
    gateway4, gateway6, listed = found.groups()
    profiles = _profile_list(*(listed or alone or "").split(_BETWEEN)) if alone else ()
    if listed is not None and profiles[:1] != (alone,):
        return None
    _optional(gateway4, "ipv4_gateway", _parse_ipv4_gateway)
    _optional(gateway6, "ipv6_gateway", _parse_ipv6_gateway)
    return _Shared(profiles, gateway4, gateway6)


def _require_same(ip: IPAddress, what: str, value: object) -> None:
    if address.parse_address(_text(what, value), what) != ip:
        raise InvalidValue(what, value, f"{ip}, as the key says")


def _password(value: object) -> str:
    from calico_ctl.model import bgp

    if value is None or value == "":
        return ""
    if not isinstance(value, str):
        raise InvalidValue("password", bgp.HIDDEN, "text")
    return bgp.parse_password(value)


def _hidden_object(what: str, text: str) -> JsonObject:
    """Read a JSON object that no error may show, nor what caused the error."""
    from calico_ctl.model import bgp

    try:
        return _object(what, text)
    except InvalidValue as error:
        raise InvalidValue(what, bgp.HIDDEN, error.expected) from None


def _profiles(fields: Mapping[str, object]) -> tuple[str, ...]:
    """Apply the reader's rule: a `profile_id` that is not first in the list was written alone."""
    listed = fields.get("profile_ids")
    alone = fields.get("profile_id")
    if listed is not None:
        if not isinstance(listed, list):
            raise InvalidValue("profile_ids", listed, "a list of profile names")
        chosen = _profile_list(*[_text("profile_ids item", item) for item in listed])
        if "profile_id" not in fields or (chosen and alone == chosen[0]):
            return chosen
    if alone is None or alone == "":
        return ()
    return _profile_list(_text("profile_id", alone))


@lru_cache(maxsize=4096)
def _profile_list(*texts: str) -> tuple[str, ...]:
    """Read names of profiles, each once; all endpoints with the same ones share the list."""
    return tuple(dict.fromkeys(map(names.parse_profile_name, texts)))


def _state(value: object) -> State:
    state = _STATES.get(_text("state", value))
    if state is None:
        raise InvalidValue("state", value, "'active' or 'inactive'")
    return state


def _for_its_host(
    fields: JsonObject,
) -> tuple[State, str, str | None, IPAddress | None, IPAddress | None]:
    """Read state, interface, MAC address and gateways of an endpoint."""
    return (
        _state(fields.get("state")),
        names.parse_interface(_text("interface name", fields.get("name"))),
        _optional(fields.get("mac"), "MAC address", address.parse_mac),
        _optional(fields.get("ipv4_gateway"), "ipv4_gateway", _parse_ipv4_gateway),
        _optional(fields.get("ipv6_gateway"), "ipv6_gateway", _parse_ipv6_gateway),
    )


def _nets(what: str, value: object, parse: Callable[[str, str], _T], width: str) -> tuple[_T, ...]:
    if not value:
        return ()
    if not isinstance(value, list):
        raise InvalidValue(what, value, "a list of addresses with their prefix length")
    return tuple([_net(what, _text(what, item), parse, width) for item in value])


def _net(what: str, text: str, parse: Callable[[str, str], _T], width: str) -> _T:
    base, slash, length = text.partition("/")
    parsed = parse(base, what)
    if slash and length != width:
        raise InvalidValue(what, text, f"a single address, {parsed}/{width}")
    return parsed


def _others(fields: JsonObject, known: frozenset[str]) -> Mapping[str, object]:
    if fields.keys() <= known:
        return _NOTHING
    return {name: value for name, value in fields.items() if name not in known}


def _unquoted_names(text: str) -> list[str]:
    match = _BARE_LIST.fullmatch(text)
    if match is None:
        raise InvalidValue("tags", text, 'a JSON list of names such as ["web", "db"]')
    return [part.strip() for part in match[1].split(",")] if match[1].strip() else []


def _object(what: str, text: str) -> JsonObject:
    value = _load(what, text)
    if not isinstance(value, dict):
        raise InvalidValue(what, text, "a JSON object")
    return value


def _load(what: str, text: str) -> object:
    try:
        return _JSON.decode(text)
    except (ValueError, RecursionError) as error:
        raise InvalidValue(what, text, "valid JSON") from error


def _refuse_constant(name: str) -> NoReturn:
    message = f"{name} is not JSON"
    raise ValueError(message)


_JSON = json.JSONDecoder(parse_constant=_refuse_constant)


def _text(what: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidValue(what, value, "text")
    return value


def _flag(what: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidValue(what, value, "true or false")
    return value


def _optional(value: object, what: str, parse: Callable[[str], _T]) -> _T | None:
    return None if value is None else parse(_text(what, value))


def _text_or_none(ip: IPAddress | None) -> str | None:
    return None if ip is None else str(ip)
