"""Which real thing stands behind each Protocol. Made when it is first asked for, not before."""

from functools import cached_property
from typing import TYPE_CHECKING

from calico_ctl.host.clock import SystemClock
from calico_ctl.settings import Settings

if TYPE_CHECKING:
    # Importing any of these costs a tenth of a second, and most commands need one of them.
    from calico_ctl.dataplane.counters import KernelCounters
    from calico_ctl.dataplane.network import KernelNetwork
    from calico_ctl.dataplane.trace import TracedDrops
    from calico_ctl.datastore.etcd_api import EtcdStore
    from calico_ctl.docker_api.quick import QuickEngine

_SECONDS_FOR_THE_AGENT = 2.0


class RealPlatform:
    """Implements `workload.platform.Platform`."""

    def __init__(self, settings: Settings) -> None:
        """Remember the settings."""
        self.settings = settings
        self.clock = SystemClock()

    @cached_property
    def hostname(self) -> str:
        """This host's name in etcd: as it was written down, else as the kernel says it."""
        from calico_ctl.host import node_name

        return node_name.current()

    @cached_property
    def store(self) -> "EtcdStore":
        """The etcd that the ETCD_ variables name."""
        return self.etcd_store(self.settings.etcd().api)

    def etcd_store(self, api: str) -> "EtcdStore":
        """The same etcd, spoken to by another of its APIs: a value of ETCD_API."""
        from calico_ctl.datastore import etcd_api, etcd_login
        from calico_ctl.datastore.etcd_requests import EtcdSettings

        access = self.settings.etcd()
        first, *others = access.authorities
        return etcd_api.store(
            EtcdSettings(
                first.host,
                first.port,
                others,
                access.tls,
                username="" if access.login is None else access.login.username,
                password=etcd_login.password(access.login),
            ),
            api,
        )

    @cached_property
    def docker(self) -> "QuickEngine":
        """The engine that the environment names."""
        from calico_ctl.docker_api.quick import QuickEngine

        return QuickEngine(self.settings.docker)

    @cached_property
    def network(self) -> "KernelNetwork":
        """The kernel's network."""
        from calico_ctl.dataplane.network import KernelNetwork

        return KernelNetwork()

    @cached_property
    def counters(self) -> "KernelCounters":
        """What the kernel has counted."""
        from calico_ctl.dataplane.counters import KernelCounters

        return KernelCounters()

    def drop_watch(self) -> "TracedDrops":
        """What the kernel tells of the packets that it drops."""
        from calico_ctl.dataplane.trace import TracedDrops

        return TracedDrops()

    def agent_report(self) -> str:
        """What this host's policy agent says of itself just now."""
        from calico_ctl.host import local_answers

        return local_answers.ask(local_answers.AGENT_REPORT, _SECONDS_FOR_THE_AGENT)
