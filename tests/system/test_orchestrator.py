"""The page for orchestrators: each request that it shows is sent, and answered as it says."""

import json

import pytest

from tests.support import cluster as calico
from tests.support import document, probes
from tests.support.lab import Lab
from tests.support.paths import CHECKOUT

pytestmark = pytest.mark.system

PAGE = CHECKOUT / "docs/how-to/integrate-an-orchestrator.md"


def test_all_that_the_page_for_orchestrators_shows_works(lab1: Lab) -> None:
    cluster = calico.start(lab1, ipv6=False)
    (host,) = cluster.hosts
    assert document.play(PAGE, {host.name: host}) > 12

    frontend = host.docker("inspect", "-f", "{{.Id}}", "frontend").out.strip()
    assert cluster.endpoint(host, frontend)["profile_id"] == "web"
    assert json.loads(cluster.leaves("/calico/policy/profile/database")[TAGS]) == ["logs-to-us"]
    for address in ("192.168.1.41", "192.168.1.42", "192.168.1.43"):
        probes.answers(host, probes.HOST_ITSELF, address)
    calico.remove_containers(cluster, host)


TAGS = "/calico/policy/profile/database/tags"
