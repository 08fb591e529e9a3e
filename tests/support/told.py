"""What a host's node says of itself: to who probes it, of what it measures, and in etcd."""

import json
import re
from typing import Any

from calico_ctl.model import metric
from tests.support.cluster import Cluster
from tests.support.host import Host

READY = "ok\n200"


def probe(host: Host, page: str) -> str:
    """What a probe is answered, and the status; 000 if nobody answers."""
    url = f"http://127.0.0.1:9091/{page}"
    return host.run(f"curl -s -w '%{{http_code}}' {url}", check=False, quiet=True).out


def begun(host: Host) -> list[str]:
    """When the agent was started that measured last."""
    pattern = r'^calico_service_start_time_seconds\{service="felix"\} .*$'
    return re.findall(pattern, probe(host, "metrics"), re.MULTILINE)


def measured(host: Host) -> dict[str, float]:
    """Everything that is measured: what is written in front of a value, and the value."""
    lines = probe(host, "metrics").splitlines()[:-1]
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {series: float(value) for series, _, value in pairs}


def unmeasured(host: Host) -> set[str]:
    """The metrics of which nothing is told."""
    series = re.findall(r"^\w+", probe(host, "metrics"), re.MULTILINE)
    names = {re.sub(r"_(bucket|sum|count)$", "", each) for each in series}
    return {each.name for each in metric.ALL} - names


def reported(cluster: Cluster, host: Host) -> dict[str, Any]:
    """What the agent reports of itself."""
    report = cluster.curl(f"KEYS/calico/felix/v1/host/{host.name}/status")
    found: dict[str, Any] = json.loads(report["node"]["value"])
    return found
