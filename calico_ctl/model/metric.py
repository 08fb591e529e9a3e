"""What can be measured: every metric that the services of a node offer, by Prometheus's rules.

A name says its unit; what only grows ends in `_total`. A metric whose first label is `service` is
measured by several services, and gets that label where their measurements come together.
`docs/reference/metrics.md` explains each, and a test compares the two.
"""

from dataclasses import dataclass
from enum import StrEnum

SERVICE = "service"
"""The label that says which service measured it."""


class Kind(StrEnum):
    """How a metric's values behave; the word is Prometheus's."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """A metric; it equals itself only, so that looking it up is cheap.

    `buckets` are the upper bounds of a histogram's, without the last, endless one.
    """

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def by_service(self) -> bool:
        """Whether several services measure it."""
        return self.labels[:1] == (SERVICE,)


_UPDATE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_ATTACH_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

UP = Metric(
    "calico_service_up",
    Kind.GAUGE,
    "1 while the service measures, 0 once it has been silent for half a minute",
    (SERVICE,),
)
AGE = Metric(
    "calico_service_measured_age_seconds",
    Kind.GAUGE,
    "How old the measurements of the service are",
    (SERVICE,),
)
START_TIME = Metric(
    "calico_service_start_time_seconds",
    Kind.GAUGE,
    "When the service was started, in seconds since 1970",
    (SERVICE,),
)
RESTARTS = Metric(
    "calico_service_restarts_total",
    Kind.COUNTER,
    "How often the service was started again since the container was",
    (SERVICE,),
)
TROUBLE = Metric(
    "calico_service_trouble",
    Kind.GAUGE,
    "1 while the service says that it cannot do its work; /readyz says why",
    (SERVICE,),
)
LOG_LINES = Metric(
    "calico_service_log_lines_total",
    Kind.COUNTER,
    "Warnings and errors that the service has logged",
    (SERVICE, "level"),
)
MEMORY = Metric(
    "calico_service_resident_memory_bytes",
    Kind.GAUGE,
    "Memory that the service has in use",
    (SERVICE,),
)
ATTACH = Metric(
    "calico_attach_seconds",
    Kind.HISTOGRAM,
    "How long it took until a container had its network",
    (SERVICE,),
    _ATTACH_BUCKETS,
)

IN_SYNC = Metric(
    "calico_felix_in_sync", Kind.GAUGE, "1 while this host's kernel is as etcd says, as far as seen"
)
CONNECTED = Metric(
    "calico_felix_etcd_connected", Kind.GAUGE, "1 while the policy agent can follow etcd"
)
REVISION = Metric(
    "calico_felix_etcd_revision", Kind.GAUGE, "Revision up to which the policy agent has read etcd"
)
UPDATE = Metric(
    "calico_felix_update_seconds",
    Kind.HISTOGRAM,
    "How long it took to make the kernel as etcd says, from change read to change in force",
    (),
    _UPDATE_BUCKETS,
)
ENDPOINTS = Metric(
    "calico_felix_endpoints", Kind.GAUGE, "Endpoints of this host that packets reach"
)
PROFILES = Metric("calico_felix_profiles", Kind.GAUGE, "Profiles that this host's table enforces")
RULES = Metric("calico_felix_rules", Kind.GAUGE, "Rules of profiles and endpoints in the table")
SETS = Metric("calico_felix_sets", Kind.GAUGE, "Sets of addresses and ports in the table")
BAD_KEYS = Metric(
    "calico_felix_unusable_keys", Kind.GAUGE, "Keys in etcd that the policy agent cannot use"
)
REPAIRS = Metric(
    "calico_felix_repairs_total",
    Kind.COUNTER,
    "What somebody else changed and the policy agent mended",
    ("kind",),
)

SESSIONS = Metric("calico_bgp_sessions", Kind.GAUGE, "BGP sessions that this host shall have")
ESTABLISHED = Metric("calico_bgp_sessions_established", Kind.GAUGE, "BGP sessions that are up")
CONFIGURED = Metric(
    "calico_bgp_configurations_total", Kind.COUNTER, "New configurations that BIRD was given"
)

UNSETTLED = Metric(
    "calico_lifecycle_containers_without_network",
    Kind.GAUGE,
    "Containers that have not got the network that they wish",
)
LEFT_ALONE = Metric(
    "calico_lifecycle_containers_left_alone",
    Kind.GAUGE,
    "Containers that wish an address of ours but were made in a way that keeps us from it",
)

CALLS = Metric(
    "calico_docker_proxy_calls_total",
    Kind.COUNTER,
    "Calls of the Docker API that came to the proxy",
)
QUESTIONS = Metric(
    "calico_docker_proxy_questions_total",
    Kind.COUNTER,
    "What the Docker API proxy had to look into for a call of the Docker API",
    ("question", "outcome"),
)

SCRAPES = Metric("calico_metrics_scrapes_total", Kind.COUNTER, "How often these metrics were read")
BUILD = Metric("calico_build_info", Kind.GAUGE, "1; its label is the version", ("version",))

ALL = (
    UP,
    AGE,
    START_TIME,
    RESTARTS,
    TROUBLE,
    LOG_LINES,
    MEMORY,
    ATTACH,
    IN_SYNC,
    CONNECTED,
    REVISION,
    UPDATE,
    ENDPOINTS,
    PROFILES,
    RULES,
    SETS,
    BAD_KEYS,
    REPAIRS,
    SESSIONS,
    ESTABLISHED,
    CONFIGURED,
    UNSETTLED,
    LEFT_ALONE,
    CALLS,
    QUESTIONS,
    SCRAPES,
    BUILD,
)
"""In the order in which they are written."""

BY_NAME = {each.name: each for each in ALL}
