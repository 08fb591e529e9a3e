"""The calico-node container, as a value, and the create call that it leads to."""

from collections.abc import Mapping
from dataclasses import dataclass

from netaddr import IPAddress

from calico_ctl.docker_api.request import ContainerRequest

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

LOG_LIMIT = {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}}


@dataclass(frozen=True, slots=True)
class NodeContainer:
    """What `calicoctl node` was told. `networking` off: policy only, no BIRD."""

    image: str
    hostname: str
    ip: IPAddress
    ip6: IPAddress | None
    etcd_authority: str
    log_directory: str = "/var/log/calico"
    networking: bool = True

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
                }
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
            "ETCD_AUTHORITY": self.etcd_authority,
            "CALICO_NETWORKING": "true" if self.networking else "false",
            "DOCKER_HOST": f"unix://{RUN_DIRECTORY}/docker.sock",
        }


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
