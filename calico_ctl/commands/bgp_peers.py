"""BGP peers of all hosts (`bgp peer`) and of this one (`node bgp peer`): what both commands do."""

from collections.abc import Mapping
from dataclasses import dataclass

from netaddr import IPAddress

from calico_ctl.commands import output, tables
from calico_ctl.commands.output import Listing
from calico_ctl.console import Console
from calico_ctl.datastore import bgp, nodes
from calico_ctl.errors import InvalidValue, NotFound
from calico_ctl.host import files
from calico_ctl.model import address
from calico_ctl.model import bgp as model
from calico_ctl.model.address import FAMILIES, Family
from calico_ctl.model.bgp import BgpPeer
from calico_ctl.model.node import parse_as_number
from calico_ctl.usage import Words
from calico_ctl.workload.platform import Platform


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose peers: those of a host, or for None of all hosts; and how tables call them."""

    host: str | None
    heading: str
    none: str
    command: str


EVERYWHERE = Scope(
    None, "Global IPv{} BGP Peer", "No global IPv{} BGP Peers defined.", "calicoctl bgp peer"
)


def here(platform: Platform) -> Scope:
    """Return the scope of this host's own peers."""
    return Scope(
        platform.hostname,
        "Node specific IPv{} BGP Peer",
        "No IPv{} BGP Peers defined for this node.",
        "calicoctl node bgp peer",
    )


def run(words: Words, platform: Platform, console: Console, scope: Scope) -> None:
    """Carry out `peer add`, `peer remove` or `peer show`."""
    match words.chosen("add", "remove", "show"):
        case "add":
            _add(words, platform, console, scope)
        case "remove":
            _remove(words, platform, console, scope)
        case _:
            _show(words, platform, console, scope)


def families(words: Words) -> list[Family]:
    """Return the families that `--ipv4` and `--ipv6` ask for, both without them."""
    only = [family for family in FAMILIES if words.flag(f"--ipv{family}")]
    return only or list(FAMILIES)


def _add(words: Words, platform: Platform, console: Console, scope: Scope) -> None:
    ip = model.parse_peer_address(words.text("<PEER_IP>"))
    as_number = parse_as_number(words.text("<AS_NUM>"))
    password = _password(words.optional("--password-file"))
    own = nodes.get(platform.store, platform.hostname)
    if own is not None and ip in {own.ipv4, own.ipv6} and not _reflects(platform, ip, scope):
        raise InvalidValue(
            "peer address", str(ip), "an address of somebody else; this is this host's own"
        )
    bgp.set_peer(platform.store, BgpPeer(ip, as_number, password), scope.host)
    if ip.version == 6 and own is not None and own.ipv6 is None:
        console.say(
            f"warning: {platform.hostname} has no IPv6 address for BGP and makes no session;"
            " `calicoctl node --ip6=<IP6>` gives it one"
        )


def _reflects(platform: Platform, ip: IPAddress, scope: Scope) -> bool:
    """Say whether an own address may be a peer: that of a reflector, to all the other hosts."""
    return scope.host is None and any(each.ip == ip for each in bgp.reflectors(platform.store)[0])


def _password(path: str | None) -> str:
    if path is None:
        return ""
    try:
        text = files.read(path)
    except UnicodeDecodeError:
        raise InvalidValue("password file", path, "text in ASCII") from None
    if text is None:
        raise NotFound(f"password file {path} does not exist")
    # Editors end the last line; whoever wants a line break in a password cannot have it anyway.
    return model.parse_password(text.removesuffix("\n").removesuffix("\r"))


def _remove(words: Words, platform: Platform, console: Console, scope: Scope) -> None:
    # What an older tool wrote has to be removable, so any address will do.
    ip = address.parse_address(words.text("<PEER_IP>"), "peer address")
    try:
        bgp.remove_peer(platform.store, ip, scope.host)
    except NotFound as error:
        raise NotFound(error.message, f"`{scope.command} show` lists them") from error
    console.result(f"BGP peer {ip} removed")


def _show(words: Words, platform: Platform, console: Console, scope: Scope) -> None:
    form = output.form(words)
    found: dict[Family, list[BgpPeer]] = {}
    for family in families(words):
        peers, problems = bgp.peers(platform.store, family, scope.host)
        tables.warn(console, problems)
        found[family] = sorted(peers, key=lambda peer: tables.natural(str(peer.ip)))
    peers = [peer for family in found for peer in found[family]]
    listing = Listing(
        "bgp_peer", [_item(peer, scope) for peer in peers], [str(peer.ip) for peer in peers]
    )
    output.show(console, form, listing, lambda: _tables(console, scope, found))


def _item(peer: BgpPeer, scope: Scope) -> Mapping[str, object]:
    return {
        "hostname": scope.host,
        "ip": str(peer.ip),
        "as_num": peer.as_number,
        "has_password": bool(peer.password),
    }


def _tables(console: Console, scope: Scope, found: Mapping[Family, list[BgpPeer]]) -> None:
    for family, peers in found.items():
        if peers:
            rows = [(str(peer.ip), str(peer.as_number)) for peer in peers]
            console.table([scope.heading.format(family), "AS Num"], rows)
        else:
            console.result(f"{scope.none.format(family)}\n")
