"""What this kernel has to be able to do, tried in a network namespace that is thrown away."""

import errno
import os
from functools import partial

from netaddr import IPAddress, IPNetwork

from calico_ctl.dataplane.conntrack import Conntrack
from calico_ctl.dataplane.netlink import KernelRefused
from calico_ctl.dataplane.table import KernelTable
from calico_ctl.diagnostics.check import Check, Complaint
from calico_ctl.errors import CommandFailed
from calico_ctl.host import command, kernel, throwaway
from calico_ctl.model import codec, keys, names
from calico_ctl.model.endpoint import DOCKER, Endpoint, EndpointKey, State
from calico_ctl.policy.desired import Desired
from calico_ctl.policy.ruleset import Ruleset

_SAMPLE_HOST = "sample"
_FORWARDING4, _FORWARDING6 = "net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"

_LINKS = {
    "veth": "type veth peer name calitry1",
    "vxlan": "type vxlan id 4096 dstport 4789",
    "ipip": "type ipip local 192.0.2.1 remote 192.0.2.2",
}
"""Kinds of links, and the words after `ip link add name calitry0`."""

_NOT_ALL_OF_ROOT = (
    "run it on the host itself: root lacks the capability NET_ADMIN here, as in a container"
)


def checks() -> list[Check]:
    """Return the checks, what matters most first."""
    return [
        Check("nftables", "rules, sets and maps of nftables", _nftables, _loading("nf_tables")),
        Check("conntrack", "following connections", _conntrack, _loading("nf_conntrack")),
        Check("veth", "pairs of interfaces", partial(_link, "veth"), _loading("veth")),
        Check("routing", "passing packets on, IPv4 and IPv6", _routing),
        Check("vxlan", "pools with --vxlan", partial(_tunnel, "vxlan"), _loading("vxlan")),
        Check("ipip", "pools with --ipip", partial(_tunnel, "ipip"), _loading("ipip")),
    ]


def _loading(module: str) -> "partial[None]":
    return partial(_load, module)


def _load(module: str) -> None:
    command.run(["modprobe", module])


def _nftables() -> Complaint | None:
    try:
        throwaway.inside(partial(_install, sample_table()))
    except KernelRefused as error:
        hint = (
            "use Linux 5.10 or later with CONFIG_NF_TABLES, NF_TABLES_INET, NFT_CT and"
            " NFT_MASQ; `modprobe nf_tables` if it is a module"
        )
        what = f"this kernel cannot hold the policy's table: {error.message}"
        return Complaint(what, _NOT_ALL_OF_ROOT if error.number == errno.EPERM else hint)
    return None


def _conntrack() -> Complaint | None:
    try:
        throwaway.inside(_follow_connections)
    except KernelRefused as error:
        hint = (
            "use a kernel with CONFIG_NF_CONNTRACK and NF_CT_NETLINK;"
            " `modprobe nf_conntrack_netlink` if it is a module"
        )
        what = f"this kernel does not tell its connections: {error.message}"
        return Complaint(what, _NOT_ALL_OF_ROOT if error.number == errno.EPERM else hint)
    return None


def _link(kind: str) -> Complaint | None:
    argv = ["ip", "link", "add", "name", "calitry0", *_LINKS[kind].split()]
    try:
        throwaway.inside(partial(command.run, argv))
    except CommandFailed as error:
        hint = error.hint or f"use a kernel with it; `modprobe {kind}` if it is a module"
        if os.strerror(errno.EPERM) in error.message:
            hint = _NOT_ALL_OF_ROOT
        return Complaint(f"this kernel makes no links of type {kind}: {error.message}", hint)
    return None


def _tunnel(kind: str) -> Complaint | None:
    complaint = _link(kind)
    if complaint is None:
        return None
    other = "vxlan" if kind == "ipip" else "ipip"
    hint = f"leave it if no pool is to have --{kind} (--{other} does the same); {complaint.hint}"
    return Complaint(complaint.what, hint, grave=False)


def _routing() -> Complaint | None:
    missing = throwaway.inside(_cannot_forward)
    if _FORWARDING4 in missing:
        hint = "calicoctl and calico-node need a /proc/sys that can be written"
        return Complaint(f"this machine does not route IPv4: no {_FORWARDING4}", hint)
    if missing:
        hint = "leave it if no container is to have an IPv6 address; else boot without ipv6.disable"
        return Complaint(f"this machine does not route IPv6: no {_FORWARDING6}", hint, grave=False)
    return None


def _cannot_forward() -> list[str]:
    settings = (_FORWARDING4, _FORWARDING6)
    return [name for name in settings if not kernel.write_setting(name, "1")]


def _install(table: Ruleset) -> None:
    installed = KernelTable()
    try:
        installed.rebuild(table)
    finally:
        installed.close()


def _follow_connections() -> None:
    connections = Conntrack()
    try:
        for _ in connections.flows([IPAddress("192.0.2.1")]):
            pass
    finally:
        connections.close()


def sample_table() -> Ruleset:
    """Return the table of a small cluster in which everything is used that a policy can use."""
    key = EndpointKey(_SAMPLE_HOST, DOCKER, "w", "0" * 32)
    endpoint = Endpoint(
        key,
        State.ACTIVE,
        names.host_interface(key.id),
        "02:00:00:00:00:01",
        ("sample",),
        (IPAddress("192.0.2.1"), IPAddress("2001:db8::1")),
    )
    rules = (
        '{"inbound": [{"action": "allow", "protocol": "tcp", "src_tag": "sample",'
        ' "dst_ports": [80, "8000:8010"]}, {"action": "deny", "protocol": "icmp", "icmp_type": 8}],'
        ' "outbound": [{"action": "allow", "dst_net": "192.0.2.0/24"}]}'
    )
    pool = '{"cidr": "192.0.2.0/24", "masquerade": true}'
    desired = Desired(_SAMPLE_HOST)
    entries = {
        keys.endpoint(key): codec.encode_endpoint(endpoint),
        keys.profile_rules("sample"): rules,
        keys.profile_tags("sample"): '["sample"]',
        keys.pool(IPNetwork("192.0.2.0/24")): pool,
    }
    desired.begin({key: (value, 1) for key, value in entries.items()})
    desired.take()
    return desired.table()
