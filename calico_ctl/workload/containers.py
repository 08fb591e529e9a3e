"""The whole life of a Docker container: who wishes a network gets it, keeps it, and gives it back.

The Docker API proxy asks for these steps when a client waits for them, the life-cycle service when
Docker tells what has happened by any other door. Each step looks at what is there and does what is
missing, one process at a time for each container: so it does not matter who comes first.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from netaddr import IPAddress

from calico_ctl.datastore import addresses, endpoints, profiles
from calico_ctl.errors import AlreadyExists, CalicoError, Conflict, NotFound
from calico_ctl.host import hosts_file, locks, namespaces
from calico_ctl.model import address, wish
from calico_ctl.model.address import AddressRequest
from calico_ctl.model.container import Container
from calico_ctl.model.endpoint import DOCKER, Endpoint
from calico_ctl.model.wish import Wish
from calico_ctl.workload import attach, detach, restore
from calico_ctl.workload.platform import Platform
from calico_ctl.workload.workload import Workload

CONNECT_SECONDS = 8.0
"""How long an agent may take to let an interface in: whoever started the container is waiting."""

_TRIES = 5
_RELEASE_SECONDS, _LOOK_SECONDS = 2.0, 0.02


def wish_of(container: Container) -> Wish | None:
    """Return what a container wishes of us, if anything: it has CALICO_IP and no other network.

    Raises InvalidValue if the wish cannot be read.
    """
    return wish.parse(container.environment) if container.network_mode == "none" else None


def why_left_alone(container: Container) -> str:
    """Say why a container that has CALICO_IP is not given a network; empty if nothing is wrong."""
    asks = any(line.startswith(f"{wish.IP_VARIABLE}=") for line in container.environment)
    if not asks or container.network_mode == "none":
        return ""
    mode = container.network_mode
    return f"it has {wish.IP_VARIABLE}, but was made with --net={mode} instead of --net=none"


def find(platform: Platform, name_or_id: str) -> Container | None:
    """Return a container as Docker has it, or None if it has none of that name."""
    try:
        return platform.docker.container(name_or_id)
    except NotFound:
        return None


def check(platform: Platform, wanted: Wish) -> None:
    """Raise the CalicoError that `reserve` would raise; nothing is taken yet."""
    for request in wanted.requests:
        attach.gateway(platform, address.wanted_family(request))
        _require_free(platform, request)


def reserve(platform: Platform, container_id: str, wanted: Wish) -> None:
    """Reserve what a container that was just created wishes; without that, it is removed again."""
    try:
        with locks.held(container_id):
            _reserve(platform, container_id, wanted)
    except CalicoError:
        platform.docker.remove(container_id)
        raise


def connect(platform: Platform, seen: Container, seconds: float = CONNECT_SECONDS) -> str:
    """Make a container's network as it shall be while it runs, or, if it does not run, while not.

    `seen` is what the container was a moment ago.

    Returns when the network works, and says in words what the container has; nothing if it has
    neither a wish nor an endpoint, or is gone. One that ends again and again meanwhile may be left
    for its next start.
    """
    deadline = platform.clock.monotonic() + seconds
    with locks.held(seen.id):
        container: Container | None = seen if seen.running else find(platform, seen.id)
        for _ in range(_TRIES):
            if container is None:
                return ""
            if not container.running:
                return _suspend(platform, container.id)
            try:
                return _connect(platform, container, deadline)
            except CalicoError:
                # If it has ended, or was started anew, while we were at it: once more.
                if _still_runs(platform, container):
                    raise
            container = find(platform, seen.id)
    return ""


def connect_or_kill(platform: Platform, seen: Container, seconds: float = CONNECT_SECONDS) -> None:
    """Connect a container that somebody has just started; if that fails, it is stopped again."""
    try:
        connect(platform, seen, seconds)
    except CalicoError:
        platform.docker.kill(seen.id)
        raise


def release(platform: Platform, container_id: str) -> int:
    """Give back all that a container had which is gone; say how many endpoints that were."""
    return detach.release(platform, DOCKER, container_id)


def _reserve(platform: Platform, container_id: str, wanted: Wish) -> Endpoint:
    for name in wanted.profiles:
        try:
            profiles.create(platform.store, name)
        except AlreadyExists:
            continue
    workload = Workload(DOCKER, container_id, container_id[:12])
    return attach.reserve(
        platform, attach.Attachment(workload, wanted.requests, profiles=wanted.profiles)
    )


def _connect(platform: Platform, container: Container, deadline: float) -> str:
    with _namespace(platform, container) as netns:
        present = _endpoints(platform, container.id)
        wanted = wish_of(container)
        if not present and wanted is not None:
            present = [_reserve(platform, container.id, wanted)]
        for endpoint in present:
            connected = restore.connect(platform, endpoint, netns, deadline)
            if wanted is not None and container.hosts_path:
                hosts_file.add(container.hosts_path, _hosts_lines(container, connected))
    return f"connected with {_listed(present)}" if present else ""


@contextmanager
def _namespace(platform: Platform, container: Container) -> Iterator[str]:
    """Keep the container's namespace, and be sure that it is the container's."""
    with namespaces.pinned(container.pid) as netns:
        # Between Docker's answer and our grasp the process may have ended, and its number may have
        # become another's. If Docker still says this number, it is the right one.
        if not _still_runs(platform, container):
            raise NotFound(f"container {container.name} has ended")
        yield netns


def _still_runs(platform: Platform, container: Container) -> bool:
    # Docker notices an end a little later than the kernel.
    found = find(platform, container.id)
    return found is not None and found.pid == container.pid and namespaces.exists(container.pid)


def _suspend(platform: Platform, container_id: str) -> str:
    present = _endpoints(platform, container_id)
    for endpoint in present:
        restore.suspend(platform, endpoint)
    return f"does not run, {_listed(present)} stays reserved" if present else ""


def _listed(present: Iterable[Endpoint]) -> str:
    return ", ".join(str(ip) for endpoint in present for ip in endpoint.addresses)


def _endpoints(platform: Platform, container_id: str) -> list[Endpoint]:
    return endpoints.of_workload(platform.store, platform.hostname, DOCKER, container_id)


def _hosts_lines(container: Container, endpoint: Endpoint) -> list[str]:
    """Write what Docker would have written into /etc/hosts for an address of its own."""
    name = container.hostname
    if container.domain:
        name = f"{name}.{container.domain} {name}"
    families = {ip.version: ip for ip in reversed(endpoint.addresses)}
    return [f"{families[version]}\t{name}" for version in sorted(families) if name]


def _require_free(platform: Platform, request: AddressRequest) -> None:
    """Raise Conflict if an address is taken, but not by a container of this host that is gone.

    Docker may have told us of its end only a moment ago.
    """
    deadline = platform.clock.monotonic() + _RELEASE_SECONDS
    while True:
        try:
            addresses.require_free(platform.store, request)
        except Conflict:
            late = platform.clock.monotonic() >= deadline
            if late or not isinstance(request, IPAddress) or not _is_coming_free(platform, request):
                raise
            platform.clock.sleep(_LOOK_SECONDS)
        else:
            return


def _is_coming_free(platform: Platform, ip: IPAddress) -> bool:
    """Release an address whose container is gone; also say so if somebody is just doing that."""
    listed, _ = endpoints.all(platform.store, platform.hostname, DOCKER)
    owner = next((each for each in listed if ip in each.addresses), None)
    if owner is None:
        holder = addresses.assigned(platform.store, ip)
        return holder is None or holder.host == platform.hostname
    if find(platform, owner.key.workload) is not None:
        return False
    # If there is nothing to release any more, whoever has heard of the end was faster.
    release(platform, owner.key.workload)
    return True
