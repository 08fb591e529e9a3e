"""nftables transactions as fast as netlink takes them, under traffic: which kinds lose packets.

The table has the shape of the agent's: established flows first, a map from interface to chain, a
profile's chain that marks and returns, a drop at the end. Each kind changes what lets the open port
in, and it is open in every state. Still two things go wrong in the moment in which the kernel
goes from one generation of the table to the next (seen on 6.18; the causes are inferred):

- A new set that holds ranges is empty for a moment after the rule that names it is in force. An
  allowed packet is dropped, and one that a deny rule names by such a set goes through. A named set
  that is filled anew has no such moment.
- A packet that began before may find a new element of a map, and go on to a new chain, which for it
  has no rules yet. It comes back as if all was well.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks import report
from benchmarks.flows import OPEN, Traffic
from benchmarks.lab import Host
from benchmarks.path import Container
from benchmarks.report import Line
from calico_ctl.dataplane import netlink, nfnetlink
from calico_ctl.dataplane.netlink import Netlink
from calico_ctl.policy.operations import (
    AddChain,
    AddElements,
    AddMap,
    AddRule,
    AddSet,
    AddTable,
    AddVerdicts,
    Delete,
    DeleteElements,
    DeleteTable,
    DeleteVerdicts,
    Flush,
    Operation,
)
from calico_ctl.policy.ruleset import Set

UPDATES = 10_000
_SECONDS = 3.0
_ALLOW = "counter meta mark set meta mark | 0x01000000 return"
_ONE = f"udp dport {OPEN}"
_MEMBERS, _PORTS = Set("ipv4_addr"), Set("inet_service", interval=True)

Operations = list[Operation]
Transactions = list[Operations]


@dataclass(frozen=True)
class Kind:
    """A kind of update: the profile's match before, and the transactions of the nth update."""

    name: str
    match: str
    update: Callable[[int], Transactions]
    control: bool = False


def lines(host: Host, sender: Container, receiver: Container) -> Iterator[Line]:
    """Run each kind under traffic."""
    for each in (sender, receiver):
        host.run("ip", "route", "add", f"{each.ip}/32", "dev", each.interface)
    with host.namespace.entered():
        kernel = Netlink(netlink.NETFILTER)
    for kind in _kinds(sender, receiver):
        fresh = [AddTable(), DeleteTable(), *_table(sender, receiver, kind.match)]
        nfnetlink.apply(kernel, fresh)
        traffic = Traffic(sender, receiver)
        updates = transactions = 0
        end = time.monotonic() + _SECONDS
        while updates < UPDATES and time.monotonic() < end:
            for operations in kind.update(updates):
                nfnetlink.apply(kernel, operations)
                transactions += 1
            updates += 1
        counts = traffic.stop()
        yield report.losses(kind.name, updates, transactions, counts, control=kind.control)
    kernel.close()


def _kinds(sender: Container, receiver: Container) -> Iterator[Kind]:
    tag = f"ip saddr @members {_ONE}"
    itself = frozenset({str(sender.ip)})
    key = f'"{receiver.interface}"'

    def member(number: int) -> Transactions:
        other = frozenset({f"10.99.{number // 2 % 200}.1"})
        verb = DeleteElements if number % 2 else AddElements
        return [[verb("members", _MEMBERS, other)]]

    def all_members(number: int) -> Transactions:
        elements = itself | {f"10.99.{other}.{number % 2}" for other in range(100)}
        return [[Flush("set", "members"), AddElements("members", _MEMBERS, elements)]]

    def all_ports(number: int) -> Transactions:
        elements = frozenset({"6900-7010", str(20_000 + number)})
        return [[Flush("set", "ports"), AddElements("ports", _PORTS, elements)]]

    def new_chain(number: int) -> Operations:
        return [AddChain(f"endpoint-{number % 2}"), *_endpoint_rules(f"endpoint-{number % 2}")]

    def in_the_map(number: int) -> Operations:
        new, old = (f"endpoint-{each % 2}" for each in (number, number + 1))
        gone: Operations = [Flush("chain", old), Delete("chain", old)] if number else []
        return [
            DeleteVerdicts("to-ep", [(key, "")]),
            AddVerdicts("to-ep", [(key, f"goto {new}")]),
            *gone,
        ]

    def whole_table(_number: int) -> Transactions:
        return [[DeleteTable(), *_table(sender, receiver, _ONE)]]

    yield Kind("a net", _ONE, lambda n: _rules(f"ip saddr 10.0.0.0/{8 + n % 2} {_ONE}"))
    yield Kind("a list of ports", _ONE, lambda n: _rules(_ports(OPEN, 20_000 + n)))
    yield Kind("a range of ports", _ONE, lambda n: _rules(f"udp dport 6900-{7001 + n % 500}"))
    yield Kind(
        "control: a list with ranges of ports",
        _ONE,
        lambda n: _rules(_ports("6900-7010", 20_000 + n)),
        control=True,
    )
    yield Kind(
        "… written as a rule for each item",
        _ONE,
        lambda n: _rules("udp dport 6900-7010", f"udp dport {20_000 + n}"),
    )
    yield Kind("… written as a named set, filled anew", "udp dport @ports", all_ports)
    yield Kind("a member of a tag", tag, member)
    yield Kind("all members of a tag, filled anew", tag, all_members)
    yield Kind(
        "control: an endpoint gets a new chain",
        _ONE,
        lambda n: [[*new_chain(n), *in_the_map(n)]],
        control=True,
    )
    yield Kind(
        "… which is made one transaction before", _ONE, lambda n: [new_chain(n), in_the_map(n)]
    )
    yield Kind("control: the table deleted and made anew", _ONE, whole_table, control=True)


def _ports(*ports: object) -> str:
    return f"udp dport {{ {', '.join(map(str, ports))} }}"


def _rules(*matches: str) -> Transactions:
    rules = [AddRule("profile", f"{match} {_ALLOW}") for match in matches]
    return [[Flush("chain", "profile"), *rules]]


def _endpoint_rules(chain: str) -> Operations:
    passed = "meta mark & 0x01000000 == 0x01000000 return"
    return [AddRule(chain, rule) for rule in ("jump profile", passed, "counter drop")]


def _table(sender: Container, receiver: Container, match: str) -> Operations:
    chains = {
        "ok": ["meta mark set meta mark | 0x02000000 accept"],
        "profile": [f"{match} {_ALLOW}"],
        "dispatch": ["oifname vmap @to-ep", "counter drop"],
        "forward": [
            "ct state established,related goto ok",
            "ct state invalid drop",
            "meta mark set meta mark & 0xfcffffff",
            f'oifname "{receiver.interface}*" jump dispatch',
            "goto ok",
        ],
    }
    hooks = {"forward": "filter hook forward priority filter - 5"}
    return [
        AddTable(),
        AddSet("members", _MEMBERS),
        AddSet("ports", _PORTS),
        AddMap("to-ep"),
        *(AddChain(name, hooks.get(name, "")) for name in ("endpoint", *chains)),
        AddElements("members", _MEMBERS, {str(sender.ip)}),
        AddElements("ports", _PORTS, {"6900-7010"}),
        *(AddRule(name, rule) for name, rules in chains.items() for rule in rules),
        *_endpoint_rules("endpoint"),
        AddVerdicts("to-ep", [(f'"{receiver.interface}"', "goto endpoint")]),
    ]
