"""Start and stop what makes this machine a Calico node.

Starting is the same whether it is the first time, a change of settings, or nothing new: each step
looks at what is there and does only what is missing. Stopping takes the services away before the
keys, so that nothing writes them again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from netaddr import IPAddress

from calico_ctl.datastore import endpoints, nodes, status
from calico_ctl.docker_api import etcd_container, image, node_container
from calico_ctl.docker_api.client import Engine, Outcome
from calico_ctl.docker_api.etcd_container import EtcdContainer
from calico_ctl.docker_api.node_container import NodeContainer
from calico_ctl.errors import (
    CalicoError,
    Conflict,
    DatastoreUnavailable,
    DeadlineExceeded,
    InvalidValue,
)
from calico_ctl.host import addresses, kernel, node_name
from calico_ctl.model import etcd_access, metrics_address
from calico_ctl.model.container import OwnContainer
from calico_ctl.model.docker_proxy import DockerProxy
from calico_ctl.model.endpoint import Endpoint
from calico_ctl.model.etcd_access import EtcdAccess
from calico_ctl.model.metrics_address import MetricsAddress, MetricsRequest
from calico_ctl.model.node import Node
from calico_ctl.workload import detach, etcd_handover, gateways, node_removal, proxy_address
from calico_ctl.workload.etcd_handover import HandedOver
from calico_ctl.workload.platform import Platform
from calico_ctl.workload.proxy_address import ProxyRequest
from calico_ctl.workload.steps import incomplete, try_all

Say = Callable[[str], None]

READY_SECONDS = 60.0

AGENT = "policy agent"

FORWARDING = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding")


@dataclass(frozen=True, slots=True)
class NodeRequest:
    """What `calicoctl node` was told; None means: as it is, or else the default."""

    ip: IPAddress | None
    ip6: IPAddress | None
    as_number: int | None
    image: str | None
    log_directory: str
    with_etcd: bool
    etcd: EtcdAccess
    networking: bool
    docker_proxy: ProxyRequest = field(default_factory=ProxyRequest)
    metrics: MetricsRequest = field(default_factory=MetricsRequest)


@dataclass(frozen=True, slots=True)
class Started:
    """How it went: the node as it is now, what became of its container, where the proxy is."""

    node: Node
    outcome: Outcome
    docker_proxy: DockerProxy | None


def start(platform: Platform, engine: Engine, wanted: NodeRequest, say: Say) -> Started:
    """Make this machine a node and wait until its services work; `say` gets progress, warnings.

    Raises Conflict if this host was a node under another name.
    """
    node_name.require_unchanged()
    proxy = _docker_proxy(engine, wanted.docker_proxy, say)
    metrics = wanted.metrics.decide(kept_metrics(engine.own_container(node_container.NAME)))
    node_image = _image(platform, engine, wanted, say)
    _forward_packets(say)
    _make_directory(wanted.log_directory)
    if wanted.with_etcd:
        ip = wanted.ip or _known_ip(platform) or _detected(say)
        _start_etcd(platform, engine, wanted, node_image, ip, say)
        wanted = replace(wanted, ip=ip)
    node = _node(platform, engine, wanted, say)
    is_new = nodes.get(platform.store, node.host) is None
    node_name.keep(node.host)
    node = nodes.register(platform.store, node)
    gateways.follow(platform, engine, node, say)
    # All services speak the API that was found here, also when etcd holds other things one day.
    chosen = wanted.etcd._replace(api=str(platform.store.api.version))
    handed = etcd_handover.hand_over(chosen)
    container = replace(_container(wanted, node_image, node, proxy, handed), metrics=metrics)
    services = _services(container)
    before = _reports(platform, services)
    outcome = _run(platform, engine, container, is_new=is_new)
    etcd_handover.tidy(handed)
    if outcome is not Outcome.UNCHANGED:
        say(f"waiting for the services of {node_container.NAME}")
        _wait(platform, engine, before)
        for trouble in _troubles(platform, services):
            say(f"warning: {trouble}")
    return Started(node, outcome, proxy)


def stop(platform: Platform, engine: Engine, default_image: str, *, force: bool, say: Say) -> None:
    """Take the node away: containers, everything of ours in the kernel, its keys.

    Raises Conflict if containers still have Calico networking, unless forced to take it from them;
    and if the keys look like those of the machine that this one is a copy of.
    """
    _require_not_a_copy(platform)
    present, unread = _endpoints(platform, force=force)
    if present and not force:
        raise Conflict(
            f"{len(present)} endpoints are still active on this host",
            hint="remove them with `calicoctl container remove`, or add --force",
        )
    used_image = engine.image_of(node_container.NAME) or default_image
    failures = unread + try_all(
        [
            *(partial(detach.detach_endpoint, platform, endpoint) for endpoint in present),
            partial(engine.stop_and_remove, node_container.NAME),
            partial(_clean_kernel, platform, engine, used_image),
            partial(node_removal.forget, platform.store, platform.hostname),
            partial(_stop_etcd, platform, engine, say),
            etcd_handover.withdraw,
        ]
    )
    if failures:
        raise incomplete("the node is not stopped completely", failures)
    node_name.forget()


def _run(platform: Platform, engine: Engine, container: NodeContainer, *, is_new: bool) -> Outcome:
    """Have the services run; a host that is new and whose engine refuses them is none again."""
    try:
        return engine.ensure(container.request())
    except CalicoError as error:
        # What others have written about it already is not ours to forget.
        if is_new and not endpoints.listed(platform.store, platform.hostname):
            undo = partial(node_removal.forget, platform.store, platform.hostname)
            failures = try_all([undo, node_name.forget])
            if failures:
                what = f"{error}; not everything could be taken back"
                raise incomplete(what, failures, "`calicoctl node stop` does it") from error
        raise


def _require_not_a_copy(platform: Platform) -> None:
    """Raise Conflict if name and address are another machine's: it may be alive."""
    name, now = node_name.kept(), node_name.of_kernel()
    if name in {None, now}:
        return
    try:
        known = nodes.get(platform.store, platform.hostname)
    except DatastoreUnavailable:
        # Then nothing of the other machine can be deleted either.
        return
    local = {each.ip for each in addresses.local()}
    if known is not None and not local & {known.ipv4, known.ipv6}:
        raise Conflict(
            f"this machine, {now}, seems to be a copy of {name}: it has none of {name}'s addresses",
            hint=f"remove {node_name.FILE} if it is a copy; if {name} was renamed and its address"
            f" was changed: `hostname {name}`, and once more",
        )


def _endpoints(platform: Platform, *, force: bool) -> tuple[list[Endpoint], list[CalicoError]]:
    """Read this host's endpoints; when forced, etcd being away is one more failure to report."""
    try:
        return endpoints.all(platform.store, platform.hostname)[0], []
    except DatastoreUnavailable as error:
        if not force:
            raise
        return [], [error]


def _image(platform: Platform, engine: Engine, wanted: NodeRequest, say: Say) -> str:
    """Have the image here; return its name. That may take minutes, or fail: so it comes first."""
    if not wanted.with_etcd:
        # Nobody shall wait for an image to hear then that there is no etcd.
        nodes.get(platform.store, platform.hostname)
    name = wanted.image or image.kept(engine.image_of(node_container.NAME))
    if wanted.image is None and name != image.DEFAULT_IMAGE:
        say(f"no --node-image given: staying with {name}")
    image.ensure(engine, name, say)
    image.require_node(engine, name)
    return name


def _forward_packets(say: Say) -> None:
    for setting in FORWARDING:
        if not kernel.write_setting(setting, "1"):
            say(f"warning: this kernel has no {setting}; that family will not be routed")


def _make_directory(path: str) -> None:
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CalicoError(f"cannot make the log directory {path}: {error.strerror}") from error


def _start_etcd(
    platform: Platform,
    engine: Engine,
    wanted: NodeRequest,
    node_image: str,
    ip: IPAddress,
    say: Say,
) -> None:
    container = EtcdContainer(node_image, ip, v2=wanted.etcd.api != etcd_access.V3)
    if engine.ensure(container.request()) is not Outcome.UNCHANGED:
        say(f"started etcd; other hosts reach it with ETCD_AUTHORITY={ip}:2379")
    engine.wait_until(
        etcd_container.NAME, partial(_answers, platform), platform.clock.sleep, READY_SECONDS
    )


def _stop_etcd(platform: Platform, engine: Engine, say: Say) -> None:
    others = [node.host for node in nodes.all(platform.store) if node.host != platform.hostname]
    if not others:
        engine.stop_and_remove(etcd_container.NAME)
    elif engine.is_running(etcd_container.NAME):
        say(f"{etcd_container.NAME} stays: {', '.join(others)} may be using it")


def _known_ip(platform: Platform) -> IPAddress | None:
    try:
        node = nodes.get(platform.store, platform.hostname)
    except DatastoreUnavailable:
        return None
    return None if node is None else node.ipv4


def _answers(platform: Platform) -> bool:
    try:
        platform.store.get("/calico")
    except DatastoreUnavailable:
        return False
    return True


def _node(platform: Platform, engine: Engine, wanted: NodeRequest, say: Say) -> Node:
    known = nodes.get(platform.store, platform.hostname)
    ip = wanted.ip or (known.ipv4 if known else None) or _detected(say)
    node = Node(platform.hostname, ip, wanted.ip6, wanted.as_number)
    for warning in _warnings(node, known, engine):
        say(f"warning: {warning}")
    return node


def _warnings(node: Node, known: Node | None, engine: Engine) -> list[str]:
    local = {each.ip for each in addresses.local()}
    warnings = [
        f"{ip} is not an address of this machine; containers could not be reached"
        for ip in (node.ipv4, node.ipv6)
        if ip is not None and ip not in local
    ]
    elsewhere = known is not None and known.ipv4 not in {None, node.ipv4}
    if elsewhere and not engine.is_running(node_container.NAME):
        warnings.append(
            f"etcd knows a node {node.host} with address {known.ipv4 if known else ''}; if that is"
            " another machine, give this one another hostname"
        )
    return warnings


def _detected(say: Say) -> IPAddress:
    found = addresses.detect_ipv4()
    if found is None:
        raise CalicoError(
            "cannot find an IPv4 address of this machine", hint="give one: calicoctl node --ip=<IP>"
        )
    say(f"no --ip given: using {found.ip}, the address of {found.interface}")
    return found.ip


def _docker_proxy(engine: Engine, wanted: ProxyRequest, say: Say) -> DockerProxy | None:
    """Decide where it shall be; refuse what cannot be before anything is touched."""
    container = engine.own_container(node_container.NAME)
    proxy = proxy_address.decide(wanted, proxy_address.kept(container))
    if proxy is None:
        return None
    proxy_address.require_usable(proxy, engine, container)
    if proxy_address.is_exposed(proxy):
        say(
            f"warning: whoever reaches {proxy} is root on this host: the Docker API is open there,"
            " without certificates"
        )
    return proxy


def kept_metrics(container: OwnContainer | None) -> MetricsAddress | None:
    """Return where the node's container, running or not, offers metrics; else the default."""
    try:
        return metrics_address.from_environment({} if container is None else container.environment)
    except InvalidValue:
        # Somebody else's container of that name; it will be replaced.
        return metrics_address.DEFAULT


def _container(
    wanted: NodeRequest,
    node_image: str,
    node: Node,
    proxy: DockerProxy | None,
    handed: HandedOver,
) -> NodeContainer:
    return NodeContainer(
        image=node_image,
        hostname=node.host,
        ip=node.ipv4 or IPAddress("0.0.0.0"),  # noqa: S104 - never: a node is registered with one
        ip6=node.ipv6,
        etcd=handed.access,
        etcd_files=handed.directory,
        log_directory=wanted.log_directory,
        networking=wanted.networking,
        docker_proxy=proxy,
    )


def _services(container: NodeContainer) -> list[str]:
    """Return the services that report, beside the agent."""
    routing = [status.ROUTING] if container.networking else []
    proxy = [] if container.docker_proxy is None else [status.DOCKER_PROXY]
    metrics = [] if container.metrics is None else [status.METRICS]
    return [*routing, status.LIFECYCLE, *proxy, *metrics]


def _reports(platform: Platform, services: Sequence[str]) -> dict[str, object]:
    """Return by service what tells its report from that of another life of it; None: no report."""
    store, host = platform.store, platform.hostname
    agent = status.read_agent(store, host)
    found = status.read_services(store, host)
    marks: dict[str, object] = {
        name: found[name].since if name in found else None for name in services
    }
    return {AGENT: agent and (agent.since, agent.pid)} | marks


def _wait(platform: Platform, engine: Engine, before: Mapping[str, object]) -> None:
    """Wait until each service has reported, and not only before it was started again."""

    def silent() -> list[str]:
        reports = _reports(platform, [name for name in before if name != AGENT])
        return [name for name, mark in reports.items() if mark is None or mark == before[name]]

    def ready() -> bool:
        return not silent()

    try:
        engine.wait_until(node_container.NAME, ready, platform.clock.sleep, READY_SECONDS)
    except DeadlineExceeded as error:
        message = f"{error.message}; nothing was heard of: {', '.join(silent())}"
        raise DeadlineExceeded(message, error.hint) from error


def _troubles(platform: Platform, services: Sequence[str]) -> list[str]:
    found = status.read_services(platform.store, platform.hostname)
    reports = {name: found[name] for name in services if name in found}
    return [f"{name}: {each.trouble}" for name, each in reports.items() if each.trouble]


def _clean_kernel(platform: Platform, engine: Engine, used_image: str) -> None:
    if engine.image_id(used_image) is None:
        raise CalicoError(
            f"cannot clean this host's kernel: image {used_image} is not there",
            hint="start the node once more, then stop it",
        )
    # It speaks to the kernel only: addresses and etcd do not matter.
    nowhere = IPAddress("127.0.0.1")
    request = NodeContainer(used_image, platform.hostname, nowhere, None, etcd_access.DEFAULT)
    engine.run_to_end(node_container.one_off(request.request(), ["daemon", "cleanup"]))
