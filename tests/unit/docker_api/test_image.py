from collections.abc import Iterator, Mapping

import pytest

from calico_ctl.docker_api import image
from calico_ctl.docker_api.client import Engine
from calico_ctl.errors import DockerError


class FakeEngine(Engine):
    """Has some images; answers a pull and a build with prepared messages."""

    def __init__(self, *present: str, messages: tuple[Mapping[str, object], ...] = ()) -> None:
        super().__init__()
        self.present = present
        self.messages = messages
        self.asked: list[str] = []

    def image_id(self, image: str) -> str | None:
        return "sha256:1" if image in self.present else None

    def pull(self, image: str) -> Iterator[Mapping[str, object]]:
        self.asked.append(f"pull {image}")
        yield from self.messages

    def build(
        self, image: str, context: bytes, dockerfile: str, arguments: Mapping[str, str]
    ) -> Iterator[Mapping[str, object]]:
        self.asked.append(f"build {image} on {arguments['BASE_IMAGE']}")
        yield from self.messages


def test_an_image_that_is_there_is_left_alone():
    engine = FakeEngine("web")
    image.ensure(engine, "web", print)
    assert engine.asked == []


def test_an_image_of_another_name_is_pulled():
    engine = FakeEngine()
    image.ensure(engine, "web:2", print)
    assert engine.asked == ["pull web:2"]


def test_our_own_image_is_built_from_what_ships_with_the_tool():
    engine = FakeEngine()
    image.ensure(engine, image.DEFAULT_IMAGE, print)
    assert engine.asked == [f"build {image.DEFAULT_IMAGE} on debian:bookworm-slim"]


@pytest.mark.parametrize(
    ("present", "base"),
    [
        ((), "debian:bookworm-slim"),
        (("debian:bookworm-slim", "calico/base:bookworm"), "debian:bookworm-slim"),
        (("calico/base:bookworm",), "calico/base:bookworm"),
    ],
)
def test_the_home_made_base_serves_where_the_published_one_is_not(present, base):
    assert image.base_image(FakeEngine(*present)) == base


def test_an_error_of_the_engine_ends_it_with_the_engines_words():
    engine = FakeEngine(messages=({"status": "Pulling"}, {"error": "manifest unknown\n"}))
    with pytest.raises(DockerError, match="cannot pull web: manifest unknown"):
        image.ensure(engine, "web", print)


def test_progress_comes_as_lines_without_the_moving_bars():
    told: list[str] = []
    messages = (
        {"stream": "Step 1/2 : FROM x\n"},
        {"stream": "\n"},
        {"status": "Downloading", "id": "a1", "progressDetail": {"current": 1}, "progress": "[=>"},
        {"status": "Pull complete", "id": "a1", "progressDetail": {}},
        {"aux": {"ID": "sha256:1"}},
    )
    image.ensure(FakeEngine(messages=messages), "web", told.append)
    assert told == ["pulling web", "Step 1/2 : FROM x", "a1: Pull complete"]
