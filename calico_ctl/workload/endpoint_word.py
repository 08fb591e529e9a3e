"""What a word on the command line may call an endpoint: pure matching.

An endpoint is called by its id, by its interface on the host, by one of its addresses, by its
workload's id, or by the beginning of one of those ids. What a container is called only Docker
knows.
"""

import re
from pathlib import PurePosixPath
from typing import NamedTuple

from netaddr import IPAddress

from calico_ctl.errors import InvalidValue
from calico_ctl.model import address, names
from calico_ctl.model.endpoint import DOCKER, NAMESPACE, Endpoint, EndpointKey

SHORTEST = 4
"""Fewer characters are not taken for the beginning of an id."""

_FORM = (
    "an endpoint id or its beginning, a container's name or id, an address, an interface, or the"
    " absolute path of a network namespace"
)
_CONTAINER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]+")
_WHOLE_ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{64}")


class EndpointWord(NamedTuple):
    """A word that is meant to name an endpoint. `address` is what it says if it is an address.

    `namespace` is the workload id if it is the path of a network namespace.
    """

    text: str
    address: IPAddress | None = None
    namespace: str = ""

    @property
    def may_name_a_container(self) -> bool:
        """Whether it is worth asking Docker for a container of that name."""
        if self.address is not None or _WHOLE_ID.fullmatch(self.text):
            return False
        return _CONTAINER_NAME.fullmatch(self.text) is not None

    def is_in_key(self, key: EndpointKey) -> bool:
        """Say whether the word is, in full, something that the endpoint's key says."""
        if self.namespace:
            return (key.orchestrator, key.workload) == (NAMESPACE, self.namespace)
        return self.text in {key.id, key.workload}

    def begins_id(self, key: EndpointKey) -> bool:
        """Say whether an id in the key, the endpoint's or the container's, begins so."""
        if len(self.text) < SHORTEST:
            return False
        is_container = key.orchestrator == DOCKER and key.workload.startswith(self.text)
        return is_container or key.id.startswith(self.text)

    def may_be_in_value(self, value: str) -> bool:
        """Say whether reading a value may show that the endpoint is meant; cheap."""
        # An IPv6 address has many spellings, and JSON may write any letter with a backslash.
        if self.address is not None and self.address.version == 6:
            return True
        return self.text in value or "\\" in value

    def is_of(self, endpoint: Endpoint) -> bool:
        """Say whether the word is the endpoint's interface or one of its addresses."""
        if self.address is not None:
            return self.address in endpoint.addresses
        return self.text == endpoint.name


def parse(text: str, what: str) -> EndpointWord:
    """Return the word; raise InvalidValue, naming `what` it was given as, if it can be none."""
    if text.startswith("/") and "\0" not in text:
        return EndpointWord(text, namespace=names.namespace_workload_id(str(PurePosixPath(text))))
    if text in {"", ".", ".."} or "/" in text:
        raise InvalidValue(what, text, _FORM)
    if ":" in text or re.fullmatch(r"[0-9]+(\.[0-9]+){3}", text):
        return EndpointWord(text, address=address.parse_address(text, what))
    return EndpointWord(text)
