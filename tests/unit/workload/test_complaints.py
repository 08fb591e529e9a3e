"""What is judged to be wrong; the words are shown in tests/unit/commands/test_status.py."""

from collections.abc import Sequence

import pytest

from calico_ctl.datastore.status import ServiceStatus
from calico_ctl.datastore.store import Api
from calico_ctl.errors import CalicoError
from calico_ctl.model.container import OwnContainer
from calico_ctl.workload import health
from calico_ctl.workload.complaints import complaints
from calico_ctl.workload.health import Health, Stored
from tests.support.machine import HOST

RUNNING = OwnContainer(True, "Up 1 second", {"CALICO_NETWORKING": "true"})
STORED = Stored("true", agent=None)


def what(found: Health) -> list[str]:
    return [each.what for each in complaints(found)]


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        (
            RUNNING,
            [
                "no report of the policy agent",
                "no report of the routing service",
                "no report of the life-cycle service",
                "no report of the Docker API proxy",
            ],
        ),
        (
            OwnContainer(True, "Up", {"CALICO_NETWORKING": "false", "CALICO_DOCKER_PROXY": "off"}),
            ["no report of the policy agent", "no report of the life-cycle service"],
        ),
        (OwnContainer(False, "Exited (0)"), ["calico-node is not running"]),
        (None, ["calico-node is not running"]),
        (CalicoError("no Docker"), ["no Docker", "no report of the policy agent"]),
    ],
)
def test_silence_is_wrong_unless_a_container_that_does_not_run_explains_it(
    container: OwnContainer | CalicoError | None, expected: Sequence[str]
) -> None:
    found = what(Health(HOST, container, "memory:0", STORED, None))
    assert len(found) == len(expected)
    assert all(text.startswith(start) for text, start in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    ("readiness", "said", "hint"),
    [
        ("moving", "is being moved out of etcd's v2 store at memory:0", "run it again as it was"),
        (
            "moved",
            "has moved out of etcd's v2 store at memory:0",
            "`sudo ETCD_API=3 calicoctl node`",
        ),
        ("false", "holds no cluster", "is it the right one?"),
        (None, "holds no cluster", "is it the right one?"),
    ],
)
def test_of_a_cluster_that_is_elsewhere_it_is_said_where(
    readiness: str | None, said: str, hint: str
) -> None:
    stored = Stored(readiness, None, api=Api(2, "it answered"))
    (about_etcd,) = [
        each
        for each in complaints(Health(HOST, RUNNING, "memory:0", stored, None))
        if each.part == "etcd"
    ]
    assert said in about_etcd.what
    assert hint in about_etcd.hint


def test_all_that_is_wrong_comes_with_what_to_try() -> None:
    service = ServiceStatus(
        "now", "", "trouble", {"web": "no pool"}, {"db": "on bridge"}, {"/t": "no device"}
    )
    services = dict.fromkeys((*health.NAMES, "tunnels"), service)
    odd = Stored(None, None, services, {"e1": "no"}, {"/k": "why"})
    for container in (None, RUNNING, OwnContainer(False, "Exited"), CalicoError("no Docker")):
        for stored in (odd, CalicoError("no etcd")):
            found = Health(HOST, container, "memory:0", stored, CalicoError("no answer"))
            wrong = complaints(found)
            assert wrong
            assert all(each.hint for each in wrong)
            assert all(each.part for each in wrong)
