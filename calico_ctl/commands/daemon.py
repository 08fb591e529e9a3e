"""Run one of the services of calico-node in the foreground (calico-node does this by itself).

Usage:
  calicoctl daemon felix
  calicoctl daemon routing
  calicoctl daemon lifecycle
  calicoctl daemon docker-proxy
  calicoctl daemon metrics
  calicoctl daemon cleanup

Services:
  felix         Keeps this host's rules and routes as the policy in etcd says.
  routing       Keeps BIRD's configuration as the nodes and pools in etcd say.
  lifecycle     Follows what becomes of containers; takes back what a command left half-done.
  docker-proxy  Offers the Docker API where CALICO_DOCKER_PROXY says [default: 127.0.0.1:2377].
  metrics       Offers what they measure where CALICO_METRICS says [default: 127.0.0.1:9091].
  cleanup       Takes everything of Calico out of this host's kernel, then ends.

Options:
  -h --help     Show this text.
"""

from collections.abc import Sequence

from calico_ctl import logs, usage
from calico_ctl.console import Console
from calico_ctl.errors import ExitCode
from calico_ctl.wiring import RealPlatform


def run(argv: Sequence[str], platform: RealPlatform, console: Console) -> ExitCode:
    """Run until told to stop."""
    words = usage.parse(__doc__, argv)
    console.require_root("calicoctl daemon")
    logs.to_stderr()
    # Imported here: each service needs much that the others do not.
    if words.flag("felix"):
        from calico_ctl.daemons import felix

        felix.run(platform)
    elif words.flag("routing"):
        from calico_ctl.daemons import routing

        routing.run(platform)
    elif words.flag("lifecycle"):
        from calico_ctl.daemons import lifecycle

        lifecycle.run(platform)
    elif words.flag("docker-proxy"):
        from calico_ctl.daemons import docker_proxy_service

        docker_proxy_service.run(platform)
    elif words.flag("metrics"):
        from calico_ctl.daemons import metrics

        metrics.run(platform)
    else:
        from calico_ctl.daemons import cleanup

        cleanup.run(platform)
    return ExitCode.OK
