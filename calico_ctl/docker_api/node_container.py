"""The calico-node container, as a value, and the create call that it leads to."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass, replace

from netaddr import IPAddress

from calico_ctl.docker_api.request import ContainerRequest
from calico_ctl.model import docker_proxy, etcd_access, metrics_address
from calico_ctl.model.docker_proxy import DockerProxy, TlsFiles
from calico_ctl.model.etcd_access import EtcdAccess
from calico_ctl.model.metrics_address import MetricsAddress

NAME = "calico-node"

CAPABILITIES = (
    "NET_ADMIN",  # interfaces, routes, nftables
    "NET_RAW",  # iptables' own rules beside Docker's
    "SYS_ADMIN",  # entering a container's network namespace
    "SYS_PTRACE",  # opening /proc/<pid>/ns of a process that is not ours
)
"""Instead of `--privileged`, which also needs what some engines cannot grant."""

RUN_DIRECTORY = "/host-var-run"
"""Where the container sees the host's /var/run, with the Docker Engine's socket."""

FILES_DIRECTORY = "/host-files"
"""Where the container sees single files of the host, each under its path on the host."""

LOG_LIMIT = {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}}


@dataclass(frozen=True, slots=True)
class NodeContainer:
    """What `calicoctl node` was told. `networking` off: policy only, no BIRD.

    The files of `docker_proxy` are the host's; None: it is off. So with `metrics`. Those of `etcd`
    are all in the directory `etcd_files`, which the container sees under the same path; None: there
    are none.
    """

    image: str
    hostname: str
    ip: IPAddress
    ip6: IPAddress | None
    etcd: EtcdAccess
    etcd_files: str | None = None
    log_directory: str = "/var/log/calico"
    networking: bool = True
    docker_proxy: DockerProxy | None = None
    metrics: MetricsAddress | None = None

    def request(self) -> ContainerRequest:
        """Return what to ask of the engine."""
        host_config = {
            "NetworkMode": "host",
            "PidMode": "host",
            # The host's name, also if it is changed later: keys in etcd are under it.
            "UTSMode": "host",
            "CapAdd": list(CAPABILITIES),
            # Docker's profile forbids writing /proc/sys; engines without AppArmor ignore this.
            "SecurityOpt": ["apparmor=unconfined"],
            # Empty is not the same as absent: /proc/sys has to be writable.
            "ReadonlyPaths": [],
            "MaskedPaths": [],
            "RestartPolicy": {"Name": "always"},
            "Binds": [f"{self.log_directory}:/var/log/calico", "/var/lib/calico:/var/lib/calico"],
            # The directory, because a socket is a new file after the engine's restart; and not
            # what is mounted below it: that would keep namespaces of dead containers alive.
            "Mounts": [
                {
                    "Type": "bind",
                    "Source": "/var/run",
                    "Target": RUN_DIRECTORY,
                    "BindOptions": {"NonRecursive": True},
                },
                *self._tls_mounts(),
                *self._etcd_mounts(),
            ],
            "LogConfig": LOG_LIMIT,
        }
        return ContainerRequest(
            NAME,
            {
                "Image": self.image,
                "Env": [f"{name}={value}" for name, value in self.environment().items()],
                "HostConfig": host_config,
            },
        )

    def environment(self) -> Mapping[str, str]:
        """Return the variables that the services inside see."""
        return {
            "HOSTNAME": self.hostname,
            "IP": str(self.ip),
            "IP6": "" if self.ip6 is None else str(self.ip6),
            **etcd_access.to_environment(self.etcd),
            "CALICO_NETWORKING": "true" if self.networking else "false",
            "DOCKER_HOST": f"unix://{RUN_DIRECTORY}/docker.sock",
            **docker_proxy.to_environment(_inside(self.docker_proxy)),
            **metrics_address.to_environment(self.metrics),
        }

    def _etcd_mounts(self) -> list[dict[str, object]]:
        # It lies in /var/lib/calico, which is there as well, but may be written to.
        path = self.etcd_files
        if path is None:
            return []
        return [{"Type": "bind", "Source": path, "Target": path, "ReadOnly": True}]

    def _tls_mounts(self) -> list[dict[str, object]]:
        tls = None if self.docker_proxy is None else self.docker_proxy.tls
        # One file may be two of the three.
        paths = dict.fromkeys(() if tls is None else astuple(tls))
        return [
            {"Type": "bind", "Source": path, "Target": FILES_DIRECTORY + path, "ReadOnly": True}
            for path in paths
        ]


def on_host(proxy: DockerProxy | None) -> DockerProxy | None:
    """Return what the services see with the files as the host names them."""
    if proxy is None or proxy.tls is None:
        return proxy
    paths = (path.removeprefix(FILES_DIRECTORY) for path in astuple(proxy.tls))
    return replace(proxy, tls=TlsFiles(*paths))


def _inside(proxy: DockerProxy | None) -> DockerProxy | None:
    """Return what the host says with the files as the services see them."""
    if proxy is None or proxy.tls is None:
        return proxy
    paths = (FILES_DIRECTORY + path for path in astuple(proxy.tls))
    return replace(proxy, tls=TlsFiles(*paths))


def one_off(request: ContainerRequest, command: list[str]) -> ContainerRequest:
    """Return a container that may do what calico-node may, but runs one `calicoctl` command."""
    host_config = dict(_mapping(request.body["HostConfig"])) | {"RestartPolicy": {"Name": "no"}}
    body = dict(request.body) | {
        "Entrypoint": ["/usr/local/bin/calicoctl"],
        "Cmd": command,
        "HostConfig": host_config,
    }
    return ContainerRequest(f"{request.name}-once", body)


def _mapping(value: object) -> Mapping[str, object]:
    assert isinstance(value, Mapping)  # noqa: S101 - made a few lines above
    return value
