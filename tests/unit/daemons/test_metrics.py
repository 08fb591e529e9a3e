"""The pages of the metrics service; tests/integration/daemons/test_metrics.py runs the service."""

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from calico_ctl import __version__
from calico_ctl.daemons import metrics
from calico_ctl.daemons.meters import Meters
from calico_ctl.daemons.metrics import SILENT_SECONDS, Pages
from calico_ctl.host.pages import Page
from calico_ctl.model import metric


class Place:
    """A directory of measurements, a clock, and the pages that follow."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.now = str(directory), 100.0
        self.own = self.service("metrics")
        self.own.say("")
        self.pages = Pages(self.directory, ["felix", "routing"], self.own, lambda: self.now)

    def service(self, name: str) -> Meters:
        return Meters(name, self.directory, lambda: self.now)

    def write(self, name: str, trouble: str | None = "") -> Meters:
        meters = self.service(name)
        if trouble is not None:
            meters.say(trouble)
        meters.write()
        return meters

    def values(self) -> dict[tuple[str, str], float]:
        page = self.pages.answer("/metrics")
        assert (page.status, page.content_type[:17]) == (200, "text/plain; versi")
        return {
            (each.name, each.labels.get("service", "")): each.value
            for family in text_string_to_metric_families(page.text)
            for each in family.samples
        }


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_all_is_well_when_each_service_measures_and_says_so(place: Place) -> None:
    place.write("felix")
    place.write("routing")
    assert place.pages.answer("/healthz") == Page(200, "ok\n")
    assert place.pages.answer("/readyz") == Page(200, "ok\n")


def test_a_service_that_never_measured_is_named(place: Place) -> None:
    place.write("felix")
    missing = Page(503, "routing: it has measured nothing yet\n")
    assert place.pages.answer("/healthz") == missing
    assert place.pages.answer("/readyz") == missing
    assert place.values()[("calico_service_up", "routing")] == 0


def test_a_service_that_fell_silent_is_named_and_what_it_measured_last_is_still_there(
    place: Place,
) -> None:
    place.write("felix").set(metric.ENDPOINTS, 3)
    felix = place.service("felix")
    felix.set(metric.ENDPOINTS, 3)
    felix.write()
    place.now += SILENT_SECONDS
    place.write("routing")
    assert place.values()[("calico_service_up", "felix")] == 1
    place.now += 1
    page = place.pages.answer("/healthz")
    assert page == Page(503, f"felix: nothing was heard of it for {SILENT_SECONDS + 1:.0f} s\n")
    found = place.values()
    assert found[("calico_service_up", "felix")] == 0
    assert found[("calico_service_measured_age_seconds", "felix")] == SILENT_SECONDS + 1
    assert found[("calico_felix_endpoints", "")] == 3


def test_what_was_written_before_the_machine_started_is_old(place: Place) -> None:
    place.write("felix")
    place.now = 1.0
    place.write("routing")
    assert place.values()[("calico_service_up", "felix")] == 0


def test_it_lives_but_is_not_ready_while_a_service_is_in_trouble_or_not_in_sync(
    place: Place,
) -> None:
    place.write("felix", None)
    place.write("routing", "BIRD does not answer")
    assert place.pages.answer("/healthz").status == 200
    page = place.pages.answer("/readyz")
    assert page == Page(503, "felix: it is not in sync yet\nrouting: BIRD does not answer\n")
    found = place.values()
    assert found[("calico_service_trouble", "felix")] == 1
    assert found[("calico_service_trouble", "metrics")] == 0


def test_of_services_that_this_node_is_not_to_have_nothing_is_shown(place: Place) -> None:
    place.write("felix")
    place.write("routing")
    place.write("docker-proxy", "a former life")
    assert place.pages.answer("/readyz").status == 200
    assert ("calico_service_up", "docker-proxy") not in place.values()


def test_restarts_starts_scrapes_and_the_version_are_shown(place: Place) -> None:
    place.write("felix")
    place.write("felix")
    assert place.values()[("calico_service_restarts_total", "felix")] == 1
    found = place.values()
    assert found[("calico_metrics_scrapes_total", "")] == 2
    assert found[("calico_service_start_time_seconds", "felix")] > 1_600_000_000
    assert f'calico_build_info{{version="{__version__}"}} 1' in place.pages.answer("/metrics").text


def test_other_paths_say_which_there_are(place: Place) -> None:
    assert place.pages.answer("/").status == 200
    page = place.pages.answer("/nosuch")
    assert page.status == 404
    assert "/metrics" in page.text


def test_the_services_are_those_that_the_node_was_told_to_have() -> None:
    assert metrics.services(networking=True, docker_proxy=True) == [
        "felix",
        "routing",
        "lifecycle",
        "docker-proxy",
    ]
    assert metrics.services(networking=False, docker_proxy=False) == ["felix", "lifecycle"]
