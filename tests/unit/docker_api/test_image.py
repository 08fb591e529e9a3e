import resource
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import pytest

from calico_ctl.docker_api import build_context, image
from calico_ctl.docker_api.client import Engine
from calico_ctl.errors import CalicoError, DockerError, NotFound


class FakeEngine(Engine):
    """Has some images; answers a pull and a build with prepared messages."""

    def __init__(self, *present: str, messages: tuple[Mapping[str, object], ...] = ()) -> None:
        super().__init__()
        self.present = present
        self.messages = messages
        self.asked: list[str] = []
        self.archive: tuple[bytes, ...] = ()
        self.starts: tuple[str, ...] = ()

    def saved(self, image: str) -> Iterator[bytes]:
        yield from self.archive
        if not self.archive:
            raise NotFound(f"there is no image {image}")

    def load(self, archive: BinaryIO) -> Iterator[Mapping[str, object]]:
        self.archive = (archive.read(),)
        yield from self.messages

    def image_id(self, image: str) -> str | None:
        return "sha256:1" if image in self.present else None

    def entrypoint(self, image: str) -> tuple[str, ...]:
        return self.starts

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


@pytest.mark.parametrize(
    ("former", "name"),
    [
        (None, image.DEFAULT_IMAGE),
        ("calico/node:0.9.9", image.DEFAULT_IMAGE),
        ("registry.example.org/calico/node:0.9.9", "registry.example.org/calico/node:0.9.9"),
        ("mine", "mine"),
    ],
)
def test_an_image_from_elsewhere_stays_and_our_own_goes_with_the_command(former, name):
    assert image.kept(former) == name


def test_an_image_that_starts_something_else_is_refused():
    engine = FakeEngine("web")
    engine.starts = ("/usr/local/bin/calico-node",)
    image.require_node(engine, "web")
    engine.starts = ("/bin/sh", "-c")
    with pytest.raises(CalicoError, match="web is not an image of calico-node") as caught:
        image.require_node(engine, "web")
    assert image.DEFAULT_IMAGE in caught.value.hint


def test_the_node_image_starts_what_is_looked_for():
    recipe = (build_context.root() / "calico_node/Dockerfile").read_text()
    assert f'ENTRYPOINT ["{image.PROGRAM}"]' in recipe


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("manifest for a:1 not found: manifest unknown: manifest unknown", "was it pushed"),
        ("pull access denied for a, repository does not exist", "`docker login <registry>`"),
        ('Head "http://r/v2/unknown/manifests/1": no basic auth credentials', "`docker login"),
        ("unauthorized: authentication required", "`docker login <registry>`"),
        ("http: server gave HTTP response to HTTPS client", "`insecure-registries`"),
        ("x509: certificate signed by unknown authority", "/etc/docker/certs.d/"),
        ("dial tcp 10.0.0.1:5000: connect: connection refused", "node image load"),
        ("dial tcp: lookup unauthorized:5000/unknown: no such host", "node image load"),
    ],
)
def test_what_helps_a_pull_depends_on_what_the_registry_says(said, hint):
    with pytest.raises(DockerError, match="cannot pull web: ") as caught:
        image.ensure(FakeEngine(messages=({"error": said},)), "web", print)
    assert hint in caught.value.hint


def test_a_build_that_fails_has_two_ways_around_it():
    with pytest.raises(DockerError, match="cannot build calico/node") as caught:
        image.ensure(FakeEngine(messages=({"error": "x"},)), image.DEFAULT_IMAGE, print)
    assert "node image load" in caught.value.hint
    assert "--node-image" in caught.value.hint


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
        {"status": "Pulling fs layer", "id": "a1", "progressDetail": {}},
        {"status": "Downloading", "id": "a1", "progressDetail": {"current": 1}, "progress": "[=>"},
        {"status": "Download complete", "id": "a1", "progressDetail": {}},
        {"status": "Pull complete", "id": "a1", "progressDetail": {}},
        {"aux": {"ID": "sha256:1"}},
    )
    image.ensure(FakeEngine(messages=messages), "web", told.append)
    assert told == ["pulling web", "Step 1/2 : FROM x", "a1: Pull complete"]


def test_an_image_is_saved_as_a_whole_and_its_size_told(tmp_path):
    engine = FakeEngine("web")
    engine.archive = (b"one", b"two")
    assert image.save(engine, "web", tmp_path / "web.tar") == 6
    assert (tmp_path / "web.tar").read_bytes() == b"onetwo"


def test_a_save_that_fails_leaves_the_file_as_it_was(tmp_path):
    (tmp_path / "web.tar").write_text("before")
    with pytest.raises(NotFound):
        image.save(FakeEngine(), "web", tmp_path / "web.tar")
    assert [path.name for path in tmp_path.iterdir()] == ["web.tar"]
    assert (tmp_path / "web.tar").read_text() == "before"


@pytest.mark.parametrize(
    ("path", "message"),
    [("no/such/folder", "No such file or directory"), ("/proc/web.tar", "cannot write /proc/")],
)
def test_a_place_that_cannot_be_written_is_named(tmp_path, path, message):
    engine = FakeEngine("web")
    engine.archive = (b"one",)
    with pytest.raises(CalicoError, match=message):
        image.save(engine, "web", tmp_path / path)


def test_a_file_that_cannot_grow_leaves_nothing_and_is_named(tmp_path):
    engine = FakeEngine("web")
    engine.archive = (b"one" * 1000,)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(CalicoError, match=r"cannot write .*web\.tar: File too large"):
            image.save(engine, "web", tmp_path / "web.tar")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_what_was_saved_is_loaded(tmp_path):
    (tmp_path / "web.tar").write_bytes(b"image")
    engine = FakeEngine("web", messages=({"stream": "Loaded image: web\n"},))
    told: list[str] = []
    image.load(engine, "web", tmp_path / "web.tar", told.append)
    assert engine.archive == (b"image",)
    assert told == ["Loaded image: web"]


def test_a_file_with_another_image_is_refused(tmp_path):
    (tmp_path / "web.tar").write_bytes(b"image")
    engine = FakeEngine("other", messages=({"stream": "Loaded image: other\n"},))
    with pytest.raises(NotFound, match=r"does not have the image web \(Loaded image: other\)"):
        image.load(engine, "web", tmp_path / "web.tar", print)


def test_a_file_that_is_no_image_is_refused_in_the_engines_words(tmp_path):
    (tmp_path / "web.tar").write_bytes(b"image")
    engine = FakeEngine(messages=({"error": "invalid tar header"},))
    with pytest.raises(DockerError, match=r"cannot load .*web\.tar: invalid tar header"):
        image.load(engine, "web", tmp_path / "web.tar", print)


@pytest.mark.parametrize("path", ["missing", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, path):
    with pytest.raises(CalicoError, match="cannot read"):
        image.load(FakeEngine("web"), "web", tmp_path / path, print)
