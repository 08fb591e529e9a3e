"""Every etcd key that we read or write, built and taken apart in this one file.

The paths are interface: orchestrators write them over plain HTTP. `parse` is total: a key that is
none of ours is None, never an error.
"""

from enum import StrEnum
from typing import NamedTuple

from netaddr import IPAddress, IPNetwork

from calico_ctl.errors import InvalidValue
from calico_ctl.model import address, names, root
from calico_ctl.model.address import Family
from calico_ctl.model.endpoint import EndpointKey

READY = root.READY
PROFILES = "/calico/policy/profile"
HOSTS = "/calico/host"
GLOBAL_CONFIG = "/calico/config"
BGP = "/calico/bgp/v1"
BGP_HOSTS = "/calico/bgp/v1/host"
DEFAULT_AS = "/calico/bgp/v1/global/as_num"
NODE_MESH = "/calico/bgp/v1/global/node_mesh"
BGP_GLOBAL = "/calico/bgp/v1/global"
IPAM = "/calico/ipam/v2"
HOSTS_IPAM = "/calico/ipam/v2/host"
STATUS = "/calico/felix/v1/host"

_ENDPOINT_PARTS, _ENDPOINT_WORDS = 9, ("host", "workload", "endpoint")


class Leaf(StrEnum):
    """Kinds of keys that the daemons follow."""

    READY = "ready"
    PROFILE_TAGS = "tags"
    PROFILE_RULES = "rules"
    ENDPOINT = "endpoint"
    HOST_IPV4 = "bird_ip"
    HOST_IPV6 = "bird6_ip"
    HOST_CONFIG = "host config"
    GLOBAL_CONFIG = "config"
    POOL = "pool"
    BGP_HOST = "bgp host"
    BGP_GLOBAL = "bgp global"
    BGP_PEER = "bgp peer"
    REFLECTOR = "route reflector"
    AFFINITY = "affinity"
    BLOCK = "block"


class ParsedKey(NamedTuple):
    """What a key is about; `host` where there is one.

    `name` is a profile, a setting, a CIDR as keys write it, or the address of a BGP peer.
    """

    leaf: Leaf
    name: str = ""
    host: str = ""
    endpoint: EndpointKey | None = None


def profile(name: str) -> str:
    """Return the directory of a profile; it exists if and only if the profile does."""
    return f"{PROFILES}/{name}"


def profile_tags(name: str) -> str:
    """Return the key of a profile's tags."""
    return f"{PROFILES}/{name}/tags"


def profile_rules(name: str) -> str:
    """Return the key of a profile's rules."""
    return f"{PROFILES}/{name}/rules"


def host(hostname: str) -> str:
    """Return the directory of everything that belongs to a host."""
    return f"{HOSTS}/{hostname}"


def host_address(hostname: str, family: Family) -> str:
    """Return the key of a host's own address, which containers use as their gateway."""
    return f"{HOSTS}/{hostname}/{'bird_ip' if family == 4 else 'bird6_ip'}"


def host_config(hostname: str, name: str) -> str:
    """Return the key of a setting that holds on one host."""
    return f"{HOSTS}/{hostname}/config/{name}"


def global_config(name: str) -> str:
    """Return the key of a setting that holds on all hosts."""
    return f"{GLOBAL_CONFIG}/{name}"


def workloads(hostname: str) -> str:
    """Return the directory of all workloads on a host."""
    return f"{HOSTS}/{hostname}/workload"


def orchestrator(hostname: str, name: str) -> str:
    """Return the directory of a host's workloads of one orchestrator."""
    return f"{HOSTS}/{hostname}/workload/{name}"


def workload(hostname: str, orchestrator_name: str, workload_id: str) -> str:
    """Return the directory of one workload."""
    return f"{HOSTS}/{hostname}/workload/{orchestrator_name}/{workload_id}"


def endpoint(key: EndpointKey) -> str:
    """Return the key of one endpoint."""
    return f"{workload(key.host, key.orchestrator, key.workload)}/endpoint/{key.id}"


def pools(family: Family) -> str:
    """Return the directory of the pools of a family."""
    return f"/calico/ipam/v{family}/pool"


def pool(cidr: IPNetwork) -> str:
    """Return the key of a pool."""
    return f"{pools(address.family(cidr))}/{dashed(cidr)}"


def blocks(family: Family) -> str:
    """Return the directory of the address blocks of a family."""
    return f"{IPAM}/assignment/ipv{family}/block"


def block(cidr: IPNetwork) -> str:
    """Return the key of an address block."""
    return f"{blocks(address.family(cidr))}/{dashed(cidr)}"


def host_ipam(hostname: str) -> str:
    """Return the directory that lists the blocks that a host has claimed."""
    return f"{IPAM}/host/{hostname}"


def affinities(hostname: str, family: Family) -> str:
    """Return the directory of a host's claimed blocks of a family."""
    return f"{IPAM}/host/{hostname}/ipv{family}/block"


def affinity(hostname: str, cidr: IPNetwork) -> str:
    """Return the key that says that a host has claimed a block."""
    return f"{affinities(hostname, address.family(cidr))}/{dashed(cidr)}"


def handles() -> str:
    """Return the directory that says, for each owner of addresses, in which blocks they are."""
    return f"{IPAM}/handle"


def handle(owner: str) -> str:
    """Return the key that says in which blocks an owner (an endpoint's id) has addresses."""
    return f"{handles()}/{owner}"


def is_block(key: str) -> bool:
    """Say whether a key is that of an address block."""
    return key.startswith(f"{IPAM}/assignment/")


def affinity_of_block(key: str, hostname: str) -> str:
    """Return the key that says that a host has claimed the block that lives under `key`."""
    return f"{host_ipam(hostname)}/{key.removeprefix(f'{IPAM}/assignment/')}"


def block_of_affinity(key: str, hostname: str) -> str:
    """Return the key of the block that a host claims under `key`; empty if it claims none."""
    own = f"{host_ipam(hostname)}/"
    return f"{IPAM}/assignment/{key.removeprefix(own)}" if key.startswith(own) else ""


def bgp_host(hostname: str) -> str:
    """Return the directory of a host's BGP settings."""
    return f"{BGP_HOSTS}/{hostname}"


def bgp_host_address(hostname: str, family: Family) -> str:
    """Return the key of the address under which a host speaks BGP."""
    return f"{BGP_HOSTS}/{hostname}/ip_addr_v{family}"


def bgp_host_as(hostname: str) -> str:
    """Return the key of a host's own AS number, absent where the default holds."""
    return f"{BGP_HOSTS}/{hostname}/as_num"


def bgp_setting(name: str, hostname: str | None = None) -> str:
    """Return the key of a BGP setting of a host, or for None of all hosts."""
    return f"{BGP_GLOBAL if hostname is None else bgp_host(hostname)}/{name}"


def bgp_peers(family: Family, hostname: str | None = None) -> str:
    """Return the directory of the peers of a host, or for None of all hosts."""
    return bgp_setting(f"peer_v{family}", hostname)


def bgp_peer(ip: IPAddress, hostname: str | None = None) -> str:
    """Return the key of a peer of a host, or for None of all hosts."""
    return f"{bgp_peers(address.family(ip), hostname)}/{ip}"


def reflectors(family: Family) -> str:
    """Return the directory of the route reflectors of a family."""
    return f"{BGP}/rr_v{family}"


def reflector(ip: IPAddress) -> str:
    """Return the key of a route reflector."""
    return f"{reflectors(address.family(ip))}/{ip}"


def host_status(hostname: str) -> str:
    """Return the directory of everything that the daemons of a host report."""
    return f"{STATUS}/{hostname}"


def agent_status(hostname: str) -> str:
    """Return the key under which a host's policy agent reports how it is."""
    return f"{STATUS}/{hostname}/status"


def service_status(hostname: str, service: str) -> str:
    """Return the key under which another daemon of a host reports how it is."""
    return f"{STATUS}/{hostname}/service/{service}"


def service_statuses(hostname: str) -> str:
    """Return the directory of the reports of all daemons of a host but the policy agent."""
    return f"{STATUS}/{hostname}/service"


def endpoint_statuses(hostname: str) -> str:
    """Return the directory of what the policy agent reports about a host's endpoints."""
    return f"{STATUS}/{hostname}/workload"


def endpoint_status(key: EndpointKey) -> str:
    """Return the key under which the policy agent acknowledges an endpoint."""
    workload_status = f"{endpoint_statuses(key.host)}/{key.orchestrator}/{key.workload}"
    return f"{workload_status}/endpoint/{key.id}"


def parse_cidr_segment(text: str) -> IPNetwork:
    """Turn the last part of a pool's or block's key into its network.

    Raises InvalidValue if it is none.
    """
    base, dash, length = text.rpartition("-")
    if not dash:
        raise InvalidValue("CIDR in a key", text, "a network with - in the place of /")
    return address.parse_network(f"{base}/{length}", "CIDR in a key")


def parse_endpoint(key: str) -> EndpointKey | None:
    """Say which endpoint's key it is, or None: as `parse` does, for who asks that of thousands."""
    parts = key.split("/")
    if len(parts) != _ENDPOINT_PARTS or (parts[2], parts[4], parts[7]) != _ENDPOINT_WORDS:
        return None
    return EndpointKey(names.shared(parts[3]), names.shared(parts[5]), parts[6], parts[8])


def parse(key: str) -> ParsedKey | None:  # noqa: C901, PLR0911, PLR0912 - a table of paths
    """Say what a key is about, or None for a key that the daemons do not follow."""
    endpoint = parse_endpoint(key)
    if endpoint is not None:
        return ParsedKey(Leaf.ENDPOINT, host=endpoint.host, endpoint=endpoint)
    match key.split("/")[2:]:
        case ["Ready"]:
            return ParsedKey(Leaf.READY)
        case ["policy", "profile", name, ("tags" | "rules") as leaf]:
            return ParsedKey(Leaf(leaf), name=name)
        case ["host", hostname, ("bird_ip" | "bird6_ip") as leaf]:
            return ParsedKey(Leaf(leaf), host=hostname)
        case ["host", hostname, "config", name]:
            return ParsedKey(Leaf.HOST_CONFIG, name=name, host=hostname)
        case ["config", name]:
            return ParsedKey(Leaf.GLOBAL_CONFIG, name=name)
        case ["ipam", ("v4" | "v6"), "pool", name]:
            return ParsedKey(Leaf.POOL, name=name)
        case ["bgp", "v1", "host", hostname, name]:
            return ParsedKey(Leaf.BGP_HOST, name=name, host=hostname)
        case ["bgp", "v1", "global", name]:
            return ParsedKey(Leaf.BGP_GLOBAL, name=name)
        case ["bgp", "v1", "host", hostname, ("peer_v4" | "peer_v6"), name]:
            return ParsedKey(Leaf.BGP_PEER, name=name, host=hostname)
        case ["bgp", "v1", "global", ("peer_v4" | "peer_v6"), name]:
            return ParsedKey(Leaf.BGP_PEER, name=name)
        case ["bgp", "v1", ("rr_v4" | "rr_v6"), name]:
            return ParsedKey(Leaf.REFLECTOR, name=name)
        case ["ipam", "v2", "host", hostname, ("ipv4" | "ipv6"), "block", name]:
            return ParsedKey(Leaf.AFFINITY, name=name, host=hostname)
        case ["ipam", "v2", "assignment", ("ipv4" | "ipv6"), "block", name]:
            return ParsedKey(Leaf.BLOCK, name=name)
        case _:
            return None


def dashed(cidr: IPNetwork) -> str:
    """Write a network as a part of a key: `10.65.0.0-16`."""
    return str(cidr).replace("/", "-")
