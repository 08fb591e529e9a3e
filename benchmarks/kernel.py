"""What the kernel holds: the members of the table's sets, whatever they are called."""

import struct

from calico_ctl.dataplane import netlink
from calico_ctl.dataplane.netlink import Netlink
from tests.support.netns import NetNs

TABLE = "calico"
_INET = 1
_NFTABLES = 10 << 8
_GET_SET, _GET_ELEMENTS = _NFTABLES | 10, _NFTABLES | 13
_TABLE = 1
_SET_NAME, _SET_FLAGS, _SET_KEY_LENGTH = 2, 3, 5
_ELEMENTS_SET, _ELEMENTS = 2, 3
_ELEMENT_KEY, _VALUE = 1, 1
_ANONYMOUS, _INTERVAL, _MAP = 0x1, 0x4, 0x8
_ADDRESS_LENGTHS = (4, 16)

Members = frozenset[bytes]


def address_sets(namespace: NetNs) -> set[Members]:
    """Return what the named sets of single addresses hold: addresses as bytes."""
    with namespace.entered(), Netlink(netlink.NETFILTER) as asked:
        return {_members(asked, name) for name in _names(asked)}


def _names(asked: Netlink) -> list[str]:
    body = _header() + netlink.attribute(_TABLE, netlink.name(TABLE))
    found = []
    for answer in asked.dump("list sets", _GET_SET, body):
        fields = netlink.attributes(answer, 4)
        flags = _number(fields.get(_SET_FLAGS, bytes(4)))
        length = _number(fields.get(_SET_KEY_LENGTH, bytes(4)))
        if length in _ADDRESS_LENGTHS and not flags & (_ANONYMOUS | _INTERVAL | _MAP):
            found.append(netlink.text(fields[_SET_NAME]))
    return found


def _members(asked: Netlink, name: str) -> Members:
    body = _header() + netlink.attribute(_TABLE, netlink.name(TABLE))
    body += netlink.attribute(_ELEMENTS_SET, netlink.name(name))
    return frozenset(
        netlink.attributes(netlink.attributes(element)[_ELEMENT_KEY])[_VALUE]
        for answer in asked.dump("list elements", _GET_ELEMENTS, body)
        for _, element in netlink.each_attribute(netlink.attributes(answer, 4).get(_ELEMENTS, b""))
    )


def _header() -> bytes:
    return struct.pack("!BBH", _INET, 0, 0)


def _number(value: bytes) -> int:
    return int.from_bytes(value, "big")
