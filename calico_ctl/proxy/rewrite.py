"""What the proxy changes in bodies: the network of a create request, the addresses in answers.

A create request that wishes a Calico network is taken out of Docker's hands: its network becomes
`none`. Answers about a container that has an endpoint show its addresses where Docker's clients
look for them. All else stays as it was written, byte for byte.
"""

import json
from collections.abc import Callable, Iterable

from netaddr import IPAddress

from calico_ctl.errors import InvalidValue
from calico_ctl.model import address, wish
from calico_ctl.model.address import AddressRequest
from calico_ctl.model.endpoint import Endpoint
from calico_ctl.model.wish import Wish
from calico_ctl.proxy import json_fields, json_text
from calico_ctl.proxy.json_text import Malformed, Member

FindEndpoint = Callable[[str], Endpoint | None]
"""The endpoint of the container with that full id."""

ApiVersion = tuple[int, ...] | None
"""The API version in a request's path; None if there is none: the engine takes its newest."""

NETWORK = "calico"
"""The name of our network in the answers."""

# A name can be written with escapes; without any it is there or not, whatever the rest says.
_NAME, _ESCAPE = wish.IP_VARIABLE.encode(), b"\\u"

_HOST_CONFIG, _NETWORKING_CONFIG = "HostConfig", "NetworkingConfig"
_ENV, _PORTS, _PUBLISH_ALL = "Env", "PortBindings", "PublishAllPorts"
_SETTINGS, _NETWORKS, _NO_NETWORK = "NetworkSettings", "Networks", "none"

# Settings of a network that is not there any more. An engine refuses a MAC address with the
# network `none`; links need the bridge; without network Docker makes no /etc/hosts.
_IGNORED = ("MacAddress", "NetworkDisabled")
_IGNORED_OF_HOST = ("NetworkMode", "Links")

# The fields of Docker's container.Config: everything else at the top belongs to the host.
_CONTAINER_FIELDS = (
    "Hostname Domainname User AttachStdin AttachStdout AttachStderr ExposedPorts Tty OpenStdin"
    " StdinOnce Env Cmd Healthcheck ArgsEscaped Image Volumes WorkingDir Entrypoint"
    " NetworkDisabled MacAddress OnBuild Labels StopSignal StopTimeout Shell"
    f" {_HOST_CONFIG} {_NETWORKING_CONFIG}"
).split()

_FIRST_WITH_NETWORKS = (1, 21)
_FIRST_WITHOUT_LEGACY = (1, 52)

# How Docker describes a network to which nothing is attached.
_EMPTY_ENDPOINT = (
    '{"IPAMConfig":null,"Links":null,"Aliases":null,"NetworkID":"","EndpointID":"","Gateway":"",'
    '"IPAddress":"","IPPrefixLen":0,"IPv6Gateway":"","GlobalIPv6Address":"",'
    '"GlobalIPv6PrefixLen":0,"MacAddress":"","DriverOpts":null}'
)


def wish_of_create(body: bytes) -> Wish | None:
    """Return what a create request wishes of us; None if it is not ours or Docker will refuse it.

    Raises InvalidValue if the wish cannot be read, the body has too many values to be read, or if
    ports shall be published as well: a Calico container is reached at its own address, and a
    profile's rules open its ports.
    """
    if _NAME not in body and _ESCAPE not in body:
        return None
    try:
        members, _ = json_text.read_object(json_text.decode_request(body))
        asked = wish.parse(json_fields.strings(members, _ENV))
        if asked is not None:
            _refuse_published_ports(asked.requests, _host_members(members))
    except Malformed:
        return None
    return asked


def without_network(body: bytes) -> bytes:
    """Return the create request with the network `none`, whatever else it asked for.

    Links, MAC address, network aliases and fixed addresses of Docker's go too. What Docker will
    refuse stays as it is.
    """
    try:
        members, rest = json_text.read_object(json_text.decode_request(body))
        host = json_fields.without(_host_members(members), _IGNORED_OF_HOST)
        networking = json_fields.struct(members, _NETWORKING_CONFIG)
    except Malformed:
        return body
    changed = {_HOST_CONFIG: json_text.encode_object(host, {"NetworkMode": b'"none"'}, "")}
    if networking is not None:
        networking = json_fields.without(networking, ["EndpointsConfig"])
        changed[_NETWORKING_CONFIG] = json_text.encode_object(
            networking, {"EndpointsConfig": b"{}"}, ""
        )
    kept = json_fields.without(members, (*_IGNORED, _HOST_CONFIG, _NETWORKING_CONFIG))
    return json_text.encode_object(kept, changed, rest)


def sets_host_config(body: bytes) -> bool:
    """Say whether the body of a start request may hold a HostConfig.

    Before API 1.24 an engine read one there, in the form of a create request, in the place of what
    create had said. Raises InvalidValue if it has too many values to be read.
    """
    try:
        members, _ = json_text.read_object(json_text.decode_request(body))
        is_inside = json_fields.struct(members, _HOST_CONFIG) is not None
        return is_inside or bool(json_fields.without(members, _CONTAINER_FIELDS))
    except Malformed:
        return False


def start_without_network(body: bytes) -> bytes:
    """Return the body of a start request with the network `none`, as of a create request.

    Raises InvalidValue if ports shall be published.
    """
    members, _ = json_text.read_object(json_text.decode_request(body))
    _refuse_published_ports((), _host_members(members))
    return without_network(body)


def container_that_joins(body: bytes) -> str:
    """Return whom a request has join a network, as it names him; empty if nobody can tell."""
    try:
        members, _ = json_text.read_object(json_text.decode_request(body))
    except (Malformed, InvalidValue):
        return ""
    said = [each.value for each in json_fields.named(members, "Container")]
    return next((value for value in reversed(said) if isinstance(value, str)), "")


def inspected(body: bytes, version: ApiVersion, endpoint: FindEndpoint) -> bytes:
    """Return the description of one container with its Calico addresses.

    They are a network `calico`, in the place of `none`: who takes any network of the container
    shall find an address. Before API 1.52 they are also directly in NetworkSettings, where
    Docker's own do not stand already. Without an endpoint the same bytes come back.
    """
    try:
        text = json_text.decode(body)
        members, rest = json_text.read_object(text)
        found = _endpoint_of({each.key: each.value for each in members}, endpoint)
        if found is None:
            return body
        shown = _with_settings(members, found, version, legacy=True)
    except (Malformed, InvalidValue):
        return body
    return json_text.encode(json_text.write_object(shown) + rest)


def listed(body: bytes, version: ApiVersion, endpoint: FindEndpoint) -> bytes:
    """Return the list of containers with their Calico networks; see `inspected`.

    Docker's lists never had the addresses anywhere else. Without any endpoint the same bytes come
    back.
    """
    try:
        text = json_text.decode(body)
        pieces, done = [], 0
        for each in json_text.read_array(text):
            found = _endpoint_of(each.value, endpoint)
            if found is None:
                continue
            members, _ = json_text.read_object(text[each.start : each.end])
            shown = _with_settings(members, found, version, legacy=False)
            pieces += [text[done : each.start], json_text.write_object(shown)]
            done = each.end
    except (Malformed, InvalidValue):
        return body
    return json_text.encode("".join([*pieces, text[done:]])) if pieces else body


def _refuse_published_ports(asked: Iterable[AddressRequest], host: Iterable[Member]) -> None:
    host = list(host)
    ports = ", ".join(json_fields.keys(host, _PORTS))
    if not ports and not json_fields.flag(host, _PUBLISH_ALL):
        return
    addresses = [str(each) for each in asked if isinstance(each, IPAddress)]
    own = " ".join(["its own address", *addresses[:1]])
    raise InvalidValue(
        "published ports",
        ports or "all",
        f"none: a Calico container is reached at {own}, and the rules of its profiles open ports",
    )


def _host_members(members: list[Member]) -> list[Member]:
    """Return what Docker will read into the container's HostConfig.

    Without one, engines before 24 read its fields at the top; they are not lost when we add one.
    """
    inner = json_fields.struct(members, _HOST_CONFIG)
    return json_fields.without(members, _CONTAINER_FIELDS) if inner is None else inner


def _endpoint_of(container: object, endpoint: FindEndpoint) -> Endpoint | None:
    container_id = container.get("Id") if isinstance(container, dict) else None
    return endpoint(container_id) if isinstance(container_id, str) else None


def _with_settings(
    members: list[Member], found: Endpoint, version: ApiVersion, *, legacy: bool
) -> list[Member]:
    """Return the members of a container with our addresses in its NetworkSettings."""
    settings = json_fields.struct(members, _SETTINGS) or []
    if legacy and _has_legacy(settings, version):
        settings = _with_values(settings, _legacy(settings, found))
    if version is None or version >= _FIRST_WITH_NETWORKS or json_fields.named(settings, _NETWORKS):
        networks = _with_network(json_fields.struct(settings, _NETWORKS) or [], found)
        settings = _with_values(settings, {_NETWORKS: json_text.write_object(networks)})
    return _with_values(members, {_SETTINGS: json_text.write_object(settings)})


def _has_legacy(settings: list[Member], version: ApiVersion) -> bool:
    if version is None:
        return bool(json_fields.named(settings, "IPAddress"))
    return version < _FIRST_WITHOUT_LEGACY


def _with_network(networks: list[Member], found: Endpoint) -> list[Member]:
    """Return the networks with ours in order of name; `none` lends it the shape of this version.

    The ids are those of Docker's network `none` then: it is where Docker has the container.
    """
    shape = json_fields.struct(networks, _NO_NETWORK) or json_text.read_object(_EMPTY_ENDPOINT)[0]
    ours = json_text.write_object(_with_values(shape, _own_values(found)))
    others = [each for each in networks if each.key not in {_NO_NETWORK, NETWORK}]
    return sorted([*others, json_text.member(NETWORK, ours)], key=lambda each: each.key)


def _own_values(found: Endpoint) -> dict[str, str]:
    """Return the JSON texts of one endpoint's fields; the first address of each family counts."""
    ipv4, ipv6 = (found.of_family(family)[:1] for family in address.FAMILIES)
    return {
        "Gateway": _text(found.ipv4_gateway),
        "IPAddress": _text(*ipv4),
        "IPPrefixLen": "32" if ipv4 else "0",
        "IPv6Gateway": _text(found.ipv6_gateway),
        "GlobalIPv6Address": _text(*ipv6),
        "GlobalIPv6PrefixLen": "128" if ipv6 else "0",
        "MacAddress": _text(found.mac),
    }


# Per family: address, prefix length and gateway, and where further addresses are.
_LEGACY_FIELDS = {
    4: (("IPAddress", "IPPrefixLen", "Gateway"), "SecondaryIPAddresses"),
    6: (("GlobalIPv6Address", "GlobalIPv6PrefixLen", "IPv6Gateway"), "SecondaryIPv6Addresses"),
}


def _legacy(settings: list[Member], found: Endpoint) -> dict[str, str]:
    """Return what is to stand directly in NetworkSettings; what Docker has there stays."""
    ours = _own_values(found)
    taken = {each.key for each in settings if each.value}
    values: dict[str, str] = {}
    for family in address.FAMILIES:
        fields, secondary = _LEGACY_FIELDS[family]
        further = found.of_family(family)
        if fields[0] not in taken:
            values |= {name: ours[name] for name in fields}
            further = further[1:]
        if further and secondary not in taken:
            length = address.width(further[0])
            listed_there = [{"Addr": str(each), "PrefixLen": length} for each in further]
            values[secondary] = json.dumps(listed_there)
    if "MacAddress" not in taken:
        values["MacAddress"] = ours["MacAddress"]
    return values


def _with_values(members: Iterable[Member], values: dict[str, str]) -> list[Member]:
    """Return the members with these JSON texts, each in its old place or else at the end."""
    missing = dict(values)
    found = []
    for each in members:
        raw = missing.pop(each.key, None)
        found.append(each if raw is None else json_text.member(each.key, raw))
    return [*found, *(json_text.member(name, raw) for name, raw in missing.items())]


def _text(value: object = None) -> str:
    return json.dumps("" if value is None else str(value))
