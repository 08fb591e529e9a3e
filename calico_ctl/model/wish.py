"""What a container's environment says about the network that it wishes: CALICO_IP, CALICO_PROFILE.

A container is Calico's if its environment has CALICO_IP; what the variables may hold is decision
X2. Both may be set several times: the last counts, as for Docker.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from calico_ctl.errors import InvalidValue
from calico_ctl.model import address, names
from calico_ctl.model.address import AddressRequest, AnyAddress

IP_VARIABLE = "CALICO_IP"
PROFILE_VARIABLE = "CALICO_PROFILE"

_EXPECTED = "addresses, 'auto', 'ipv4', 'ipv6' or CIDRs of pools, separated by commas"


@dataclass(frozen=True, slots=True)
class Wish:
    """The addresses that a container wishes, at least one, and its profiles in order."""

    requests: tuple[AddressRequest, ...]
    profiles: tuple[str, ...] = ()


def parse(environment: Iterable[str]) -> Wish | None:
    """Return the wish in lines like `NAME=value`, or None without CALICO_IP.

    Raises InvalidValue, naming the variable, if one of the two cannot be read.
    """
    variables = dict(line.split("=", 1) for line in environment if "=" in line)
    asked = variables.get(IP_VARIABLE)
    if asked is None:
        return None
    requests = tuple(_request(word, asked) for word in _words(asked))
    if not requests or len(set(requests)) < len(requests):
        raise InvalidValue(IP_VARIABLE, asked, f"{_EXPECTED}, each once")
    return Wish(requests, _profiles(variables.get(PROFILE_VARIABLE, "")))


def _profiles(text: str) -> tuple[str, ...]:
    profiles = tuple(names.parse_profile_name(word) for word in _words(text))
    if len(set(profiles)) < len(profiles):
        raise InvalidValue(PROFILE_VARIABLE, text, "names of profiles, each once")
    return profiles


def _words(text: str) -> list[str]:
    """Split at commas; the variable may be empty, a word between two commas may not."""
    return [word.strip() for word in text.split(",")] if text.strip() else []


def _request(word: str, whole: str) -> AddressRequest:
    if word.lower() == "auto":
        return AnyAddress.IPV4
    try:
        return address.parse_address_request(word)
    except InvalidValue as error:
        raise InvalidValue(IP_VARIABLE, whole, _EXPECTED) from error
