"""Say whom all hosts exchange routes with.

Usage:
  calicoctl bgp peer add <PEER_IP> as <AS_NUM> [--password-file=<FILE>]
  calicoctl bgp peer remove <PEER_IP>
  calicoctl bgp peer show [--ipv4 | --ipv6] [--output=<FORM>]
  calicoctl bgp route-reflector add <IP> cluster <CLUSTER_ID>
  calicoctl bgp route-reflector remove <IP>
  calicoctl bgp route-reflector show [--ipv4 | --ipv6] [--output=<FORM>]
  calicoctl bgp node-mesh [on|off]
  calicoctl bgp default-node-as [<AS_NUM>]

`peer` is about peers of all hosts: routers outside, or route reflectors. `calicoctl node bgp peer`
is about those of one host. Adding a peer again replaces it, with its password.

`route-reflector` says that an address is one of a route reflector, of a host or not. Hosts that
have it as a peer become its clients; reflectors of all clusters speak to each other. Those that
serve the same hosts share the id of their cluster, which looks like an IPv4 address.

`node-mesh` and `default-node-as` show what holds, or set it: whether each host speaks to each other
one, and the AS number of hosts that have none of their own.

Options:
  --password-file=<FILE>  Where the password of the session is (TCP MD5); without it there is none.
                          It is kept in etcd: whoever can read etcd can read it.
  --ipv4                  Show those with IPv4 addresses only.
  --ipv6                  Show those with IPv6 addresses only.
  --output=<FORM>         How to show them: table, json, yaml, or name for the addresses alone.
  -h --help               Show this text.

Examples:
  calicoctl bgp peer add 10.99.0.254 as 65000
  calicoctl bgp peer add fd99::254 as 1.10 --password-file=/root/bgp-password
  calicoctl bgp peer show --ipv4
  calicoctl bgp route-reflector add 10.99.0.1 cluster 1.0.0.1
  calicoctl bgp node-mesh off
  calicoctl bgp default-node-as 64512
"""

from collections.abc import Mapping, Sequence

from calico_ctl import usage
from calico_ctl.commands import bgp_peers, output, tables
from calico_ctl.commands.output import Listing
from calico_ctl.console import Console
from calico_ctl.datastore import bgp
from calico_ctl.errors import ExitCode, NotFound
from calico_ctl.model import address
from calico_ctl.model import bgp as model
from calico_ctl.model.bgp import Reflector
from calico_ctl.model.node import parse_as_number
from calico_ctl.usage import Words
from calico_ctl.workload.platform import Platform

_SHOW_HINT = "`calicoctl bgp route-reflector show` lists them"


def run(argv: Sequence[str], platform: Platform, console: Console) -> ExitCode:
    """Carry out one of the BGP commands."""
    words = usage.parse(__doc__, argv)
    if words.flag("peer"):
        bgp_peers.run(words, platform, console, bgp_peers.EVERYWHERE)
    elif words.flag("route-reflector"):
        _reflector(words, platform, console)
    elif words.flag("node-mesh"):
        _mesh(words, platform, console)
    else:
        _default_as(words.optional("<AS_NUM>"), platform, console)
    return ExitCode.OK


def _mesh(words: Words, platform: Platform, console: Console) -> None:
    if words.flag("on") or words.flag("off"):
        bgp.set_mesh(platform.store, words.flag("on"))
    else:
        console.result("on" if bgp.mesh(platform.store) else "off")


def _default_as(text: str | None, platform: Platform, console: Console) -> None:
    if text is None:
        console.result(str(bgp.default_as(platform.store)))
    else:
        bgp.set_default_as(platform.store, parse_as_number(text))


def _reflector(words: Words, platform: Platform, console: Console) -> None:
    match words.chosen("add", "remove", "show"):
        case "add":
            ip = model.parse_peer_address(words.text("<IP>"), "address of a route reflector")
            cluster_id = model.parse_cluster_id(words.text("<CLUSTER_ID>"))
            bgp.set_reflector(platform.store, Reflector(ip, cluster_id))
        case "remove":
            ip = address.parse_address(words.text("<IP>"), "address of a route reflector")
            try:
                bgp.remove_reflector(platform.store, ip)
            except NotFound as error:
                raise NotFound(error.message, _SHOW_HINT) from error
            console.result(f"{ip} is no route reflector any more")
        case _:
            _show_reflectors(words, platform, console)


def _show_reflectors(words: Words, platform: Platform, console: Console) -> None:
    form, families = output.form(words), bgp_peers.families(words)
    present, problems = bgp.reflectors(platform.store)
    tables.warn(console, problems)
    found = sorted(
        (each for each in present if each.family in families),
        key=lambda each: (each.family, tables.natural(str(each.ip))),
    )
    listing = Listing(
        "route_reflector", [_item(each) for each in found], [str(each.ip) for each in found]
    )
    rows = [(str(each.ip), str(each.cluster_id)) for each in found]
    output.show(
        console, form, listing, lambda: console.table(["Route reflector", "Cluster ID"], rows)
    )


def _item(reflector: Reflector) -> Mapping[str, object]:
    return {"ip": str(reflector.ip), "cluster_id": str(reflector.cluster_id)}
