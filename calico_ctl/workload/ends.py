"""Whom a word on the command line means as an end of a connection.

An endpoint, by all that `which_endpoint` knows it by; a host, by its name or an address of its; or
any other address, which then is somebody's outside.
"""

from contextlib import suppress
from dataclasses import dataclass

from netaddr import IPAddress

from calico_ctl.errors import Conflict, InvalidValue, NotFound
from calico_ctl.host import own_address
from calico_ctl.model import address, keys
from calico_ctl.model.address import FAMILIES, Family
from calico_ctl.model.endpoint import Endpoint
from calico_ctl.model.keys import Leaf
from calico_ctl.policy.explain import End, Views
from calico_ctl.workload import endpoint_word, which_endpoint
from calico_ctl.workload.in_force import Entries
from calico_ctl.workload.platform import Platform
from calico_ctl.workload.which_endpoint import Filter

_HINT = (
    "a container of another host is named by its id or an address of its;"
    " `calicoctl endpoint show --detailed` lists them"
)
_WHICH_HINT = "say which by its full id"


@dataclass(frozen=True, slots=True)
class Party:
    """Who was meant by `word`, with the addresses that it may speak from or be spoken to at."""

    word: str
    addresses: tuple[IPAddress, ...]
    endpoint: Endpoint | None = None
    hostname: str = ""

    def end(self, ip: IPAddress) -> End:
        """Return it as the end of a connection at one of the addresses."""
        return End(ip, self.endpoint, self.hostname)


def find(platform: Platform, views: Views, known: Entries, text: str) -> Party:
    """Return who is meant by a word. Raises NotFound, Conflict (several are) or InvalidValue."""
    hosts = _hosts(known)
    if text in hosts:
        return Party(text, hosts[text], hostname=text)
    word = endpoint_word.parse(text, "end of a connection")
    try:
        endpoint = which_endpoint.find_one(platform, Filter(word=word))
    except NotFound as error:
        if word.address is not None:
            return _not_an_endpoint(platform, text, word.address, hosts)
        error.hint = _HINT
        raise
    except Conflict as error:
        error.hint = _WHICH_HINT if error.hint else ""
        raise
    seen = views.of(endpoint.key.host).snapshot.endpoints.get(endpoint.key, endpoint)
    addresses = seen.addresses if word.address is None else (word.address,)
    return Party(text, addresses, seen)


def choose(source: Party, target: Party, family: Family | None) -> tuple[End, End]:
    """Return both as ends with addresses of one family, IPv4 if both have one.

    With `family`, of that one. Raises Conflict if there is none that both have.
    """
    for each in FAMILIES if family is None else (family,):
        pair = _first(source, each), _first(target, each)
        if pair[0] is not None and pair[1] is not None:
            return source.end(pair[0]), target.end(pair[1])
    which = "one family" if family is None else f"IPv{family}"
    said = [f"{each.word} has {_listed(each)}" for each in (source, target)]
    raise Conflict(f"the two ends have no addresses of {which}: {', '.join(said)}")


def _not_an_endpoint(
    platform: Platform, text: str, ip: IPAddress, hosts: dict[str, tuple[IPAddress, ...]]
) -> Party:
    owner = next((host for host, addresses in hosts.items() if ip in addresses), "")
    if not owner:
        address.parse_unicast(ip, "end of a connection")
        # etcd has one address of each family; this host may have more.
        owner = platform.hostname if own_address.is_ours(ip) else ""
    return Party(text, (ip,), hostname=owner)


def _hosts(known: Entries) -> dict[str, tuple[IPAddress, ...]]:
    """Return the hosts that etcd knows, with the addresses that it knows of each."""
    hosts: dict[str, tuple[IPAddress, ...]] = {}
    for key, (value, _) in known.items():
        parsed = keys.parse(key)
        if parsed is not None and parsed.leaf in {Leaf.HOST_IPV4, Leaf.HOST_IPV6} and value:
            with suppress(InvalidValue):
                hosts[parsed.host] = (*hosts.get(parsed.host, ()), address.parse_address(value))
    return {host: tuple(sorted(addresses)) for host, addresses in hosts.items()}


def _first(party: Party, family: Family) -> IPAddress | None:
    return next((ip for ip in party.addresses if address.family(ip) == family), None)


def _listed(party: Party) -> str:
    return ", ".join(map(str, party.addresses)) or "none"
