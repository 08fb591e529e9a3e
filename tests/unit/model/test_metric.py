"""The metrics that there are: named as Prometheus wants, explained, and all of them documented."""

import ast
import json
import re

import pytest

from calico_ctl.model import metric
from calico_ctl.model.metric import Kind, Metric
from tests.support.paths import CHECKOUT

PAGE = CHECKOUT / "docs/reference/metrics.md"


@pytest.mark.parametrize("one", metric.ALL, ids=lambda one: one.name)
def test_a_name_says_what_it_counts_and_in_which_unit(one: Metric) -> None:
    assert re.fullmatch(r"calico(_[a-z]+)+", one.name)
    assert one.name.endswith("_total") == (one.kind is Kind.COUNTER)
    assert one.kind is not Kind.HISTOGRAM or one.name.endswith("_seconds")
    assert bool(one.buckets) == (one.kind is Kind.HISTOGRAM)
    assert list(one.buckets) == sorted(set(one.buckets))
    assert not {"le", "quantile"} & set(one.labels)
    assert one.meaning
    assert not one.meaning.endswith(".")


def test_the_catalogue_has_each_metric_of_the_module_once() -> None:
    defined = [each for each in vars(metric).values() if isinstance(each, Metric)]
    assert set(defined) == set(metric.ALL)
    assert len(metric.BY_NAME) == len(metric.ALL)


def test_the_reference_explains_each_metric_with_its_labels_and_no_other() -> None:
    rows = re.findall(r"^\| `(calico_\w+)` \| (\w+) \| (.*?) \|", PAGE.read_text(), re.MULTILINE)
    documented = {name: (kind, re.findall(r"`(\w+)`", labels)) for name, kind, labels in rows}
    assert documented == {each.name: (each.kind, list(each.labels)) for each in metric.ALL}


def test_each_metric_is_measured_somewhere() -> None:
    used = {
        node.attr
        for path in (CHECKOUT / "calico_ctl/daemons").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "metric"
    }
    names = {name for name, each in vars(metric).items() if isinstance(each, Metric)}
    assert names <= used


def test_the_dashboard_asks_for_metrics_that_there_are_and_for_nearly_all_of_them() -> None:
    dashboard = json.loads((CHECKOUT / "examples/grafana/calico-node.json").read_text())
    asked: set[str] = set()
    for panel in dashboard["panels"]:
        assert panel["title"]
        for target in panel["targets"]:
            names = set(re.findall(r"calico_\w+", target["expr"]))
            assert names
            asked |= names
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= labels_of(names)
    assert asked <= series()
    assert len({re.sub(r"_(bucket|count)$", "", name) for name in asked}) >= len(metric.ALL) - 6


def test_the_alarms_of_the_reference_are_about_metrics_that_there_are() -> None:
    alarms = PAGE.read_text().partition("\n## Worth an alarm\n")[2]
    names = set(re.findall(r"calico_\w+", alarms))
    assert len(names) >= 5
    assert names <= series()


def series() -> set[str]:
    """What each metric is called where it is stored."""
    plain = {each.name for each in metric.ALL if not each.buckets}
    histograms = [each.name for each in metric.ALL if each.buckets]
    return plain | {f"{name}{end}" for name in histograms for end in ("_bucket", "_sum", "_count")}


def labels_of(names: set[str]) -> set[str]:
    found = {"instance", "job"}
    for each in metric.ALL:
        if any(name.startswith(each.name) for name in names):
            found |= set(each.labels)
    return found
