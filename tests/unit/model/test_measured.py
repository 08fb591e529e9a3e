"""Measurements: into a file and out again, and as Prometheus reads them."""

import json
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from calico_ctl.model import measured, metric
from calico_ctl.model.measured import Distribution, Measured, Sample

BUCKETS = len(metric.UPDATE.buckets)
COUNTS = (1, 0, 2, *([0] * (BUCKETS - 3)), 4)
FELIX = Measured(
    "felix",
    1_764_000_000.5,
    12.25,
    3,
    "no space",
    [
        Sample(metric.ENDPOINTS, (), 7),
        Sample(metric.REPAIRS, ("table",), 2),
        Sample(metric.MEMORY, (), 40_000_000),
        Sample(metric.UPDATE, (), Distribution(COUNTS, 21.5)),
    ],
)


def read(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What an independent parser makes of it."""
    return {
        (each.name, tuple(sorted(each.labels.items()))): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }


def test_what_was_measured_survives_the_file() -> None:
    assert measured.decode(measured.encode(FELIX)) == FELIX
    unsaid = replace(FELIX, trouble=None, samples=[])
    assert measured.decode(measured.encode(unsaid)) == unsaid


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "1", '{"service": "x"}', "[" * 100_000])
def test_what_is_no_file_of_ours_is_none(text: str) -> None:
    assert measured.decode(text) is None


@pytest.mark.parametrize(
    "sample",
    [
        ["calico_of_a_later_version", [], 1],
        ["calico_felix_endpoints", ["unknown label"], 1],
        ["calico_felix_endpoints", [], "many"],
        ["calico_felix_endpoints", "x", 1],
        ["calico_felix_update_seconds", [], 3],
        ["calico_felix_update_seconds", [], [1, 2], 3.0],
        ["calico_felix_update_seconds", [], [0] * (BUCKETS + 1)],
    ],
)
def test_a_sample_that_means_nothing_here_is_left_out_alone(sample: list[object]) -> None:
    fields = json.loads(measured.encode(FELIX))
    fields["samples"].append(sample)
    assert measured.decode(json.dumps(fields)) == FELIX


@settings(max_examples=30, deadline=None)
@given(st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x, max_size=4)))
def test_reading_never_fails(value: object) -> None:
    fields = json.loads(measured.encode(FELIX)) | {"samples": [value]}
    found = measured.decode(json.dumps(fields))
    assert found is None or not found.samples


def test_an_independent_parser_reads_what_is_written() -> None:
    found = read(measured.exposition(measured.by_service([FELIX])))
    assert found[("calico_felix_endpoints", ())] == 7
    assert found[("calico_felix_repairs_total", (("kind", "table"),))] == 2
    service = (("service", "felix"),)
    assert found[("calico_service_resident_memory_bytes", service)] == 40_000_000
    bucket = "calico_felix_update_seconds_bucket"
    assert found[(bucket, (("le", "0.001"),))] == 1
    assert found[(bucket, (("le", "0.005"),))] == 3
    assert found[(bucket, (("le", "5"),))] == 3
    assert found[(bucket, (("le", "+Inf"),))] == 7
    assert found[("calico_felix_update_seconds_count", ())] == 7
    assert found[("calico_felix_update_seconds_sum", ())] == 21.5


def test_each_metric_is_written_with_its_type_and_meaning() -> None:
    samples = [
        Sample(
            one,
            tuple(f"{label} x" for label in one.labels),
            Distribution((1,) * (len(one.buckets) + 1), 1.5) if one.buckets else 1.5,
        )
        for one in metric.ALL
    ]
    families = list(text_string_to_metric_families(measured.exposition(samples)))
    # The parser calls a counter by its name without `_total`.
    assert [each.name for each in families] == [
        each.name.removesuffix("_total") for each in metric.ALL
    ]
    assert [(each.type, each.documentation) for each in families] == [
        (str(each.kind), each.meaning) for each in metric.ALL
    ]


@settings(max_examples=30, deadline=None)
@example("two\nlines")
@example('"quoted" \\ and \\n')
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r")))
def test_any_text_may_be_a_label(text: str) -> None:
    found = read(measured.exposition([Sample(metric.BUILD, (text,), 1)]))
    assert found == {("calico_build_info", (("version", text),)): 1}


def test_the_same_metric_of_several_services_is_one_family() -> None:
    both = [replace(FELIX, samples=FELIX.samples[2:3]), replace(FELIX, service="routing")]
    text = measured.exposition(measured.by_service(both))
    assert text.count("# TYPE calico_service_resident_memory_bytes") == 1
    assert text.count("calico_service_resident_memory_bytes{") == 2
