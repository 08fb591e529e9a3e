"""A one-member etcd for a single machine (`calicoctl node --with-etcd`), as a value."""

from dataclasses import dataclass

from netaddr import IPAddress

from calico_ctl.docker_api.node_container import LOG_LIMIT
from calico_ctl.docker_api.request import ContainerRequest

NAME = "calico-etcd"
DATA_DIRECTORY = "/var/lib/calico/etcd"

_PEER_URL = "http://127.0.0.1:2380"


@dataclass(frozen=True, slots=True)
class EtcdContainer:
    """The datastore of this machine, and of others that are told `ip`:2379 (`ip` is IPv4).

    Without `v2` it speaks the v3 API only.
    """

    image: str
    ip: IPAddress
    v2: bool = True

    def request(self) -> ContainerRequest:
        """Return what to ask of the engine; the image is calico-node's, which has etcd."""
        reachable = f"http://{self.ip}:2379"
        listening = ["http://127.0.0.1:4001", "http://127.0.0.1:2379", reachable]
        command = [
            f"--name={NAME}",
            "--enable-v2" if self.v2 else "--enable-v2=false",
            f"--data-dir={DATA_DIRECTORY}",
            f"--listen-client-urls={','.join(dict.fromkeys(listening))}",
            f"--advertise-client-urls={reachable}",
            f"--listen-peer-urls={_PEER_URL}",
            f"--initial-advertise-peer-urls={_PEER_URL}",
            f"--initial-cluster={NAME}={_PEER_URL}",
        ]
        host_config = {
            "NetworkMode": "host",
            "RestartPolicy": {"Name": "always"},
            "Binds": [f"{DATA_DIRECTORY}:{DATA_DIRECTORY}"],
            "LogConfig": LOG_LIMIT,
        }
        body = {
            "Image": self.image,
            "Entrypoint": ["/usr/bin/etcd"],
            "Cmd": command,
            "HostConfig": host_config,
        }
        return ContainerRequest(NAME, body)
