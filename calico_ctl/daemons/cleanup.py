"""Takes everything of ours out of this host's kernel; for `node stop`, after the services ended."""

from contextlib import closing
from functools import partial

from calico_ctl.dataplane import docker_firewall, host_side, routes, tunnel
from calico_ctl.dataplane.table import KernelTable
from calico_ctl.workload.platform import Platform
from calico_ctl.workload.steps import incomplete, try_all


def run(platform: Platform) -> None:
    """Remove interfaces, routes, accept rules and the table; do every step, report all failures."""
    links = [partial(platform.network.unplug, name) for name in sorted(host_side.interfaces())]
    failures = try_all(
        [
            *links,
            host_side.remove_all,
            routes.remove_imported,
            tunnel.remove_all,
            docker_firewall.remove,
            _delete_table,
        ]
    )
    if failures:
        raise incomplete("this host could not be cleaned completely", failures)


def _delete_table() -> None:
    with closing(KernelTable()) as table:
        table.delete()
