"""The Docker Engine behind the few calls that we need.

The API version is negotiated, so engines old and new answer in the version that they have.
`Engine` is cheap to make: docker-py (some 90 ms to import) is loaded, and the engine asked for its
version, at the first call.
"""

import io
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, BinaryIO, cast

from calico_ctl.docker_api.request import CONFIGURATION_LABEL, ContainerRequest
from calico_ctl.errors import DeadlineExceeded, DockerError, NotFound
from calico_ctl.model.container import Container, ContainerEvent, OwnContainer

if TYPE_CHECKING:
    from docker import APIClient

SOCKET = "unix:///var/run/docker.sock"
PROXY_PORT = "2377"
"""Where calico-node itself offers the Docker API."""

_SECONDS_TO_ANSWER = 60
_SECONDS_WHEN_HURRIED = 5
_SECONDS_TO_EXECUTE = 5
_TRIES_TO_EXECUTE = 5
_AND_ITS_END = '"$@" 2>&1; echo "(it ended with $?)"'
_END = re.compile(r"\(it ended with (?P<code>[0-9]+)\)\n\Z")
_SECONDS_TO_STOP = 10
_SAVED_AT_ONCE = 1 << 20
_POLL_SECONDS = 0.1

Json = Mapping[str, object]


class Outcome(StrEnum):
    """What `Engine.ensure` had to do."""

    CREATED = "created"
    REPLACED = "replaced"
    STARTED = "started"
    UNCHANGED = "unchanged"


class Engine:
    """One Docker Engine. Every call may raise DockerUnavailable or DockerError."""

    def __init__(
        self, environment: Mapping[str, str] | None = None, seconds: int = _SECONDS_TO_ANSWER
    ) -> None:
        """Take the engine that DOCKER_HOST, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH name.

        `seconds` is how long it may take to answer.
        """
        self._environment = dict(environment or {})
        self.seconds = seconds
        self.address = with_scheme(self._environment.get("DOCKER_HOST") or SOCKET)

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        if "_api" in self.__dict__:
            self.__dict__.pop("_api").close()

    def direct(self) -> "Engine":
        """Return the engine without our own proxy between.

        For handling calico-node: the proxy is in it, and would go away in the middle of a call.
        """
        return Engine() if through_proxy(self.address) else self

    def hurried(self) -> "Engine":
        """Return the engine without our own proxy between, and with little time to answer.

        For who only looks, perhaps because something hangs.
        """
        return Engine(self.direct()._environment, _SECONDS_WHEN_HURRIED)

    def container(self, name_or_id: str) -> Container:
        """Inspect by name, id or unique id prefix.

        Raises NotFound, or Conflict for a prefix of more than one id.
        """
        found = self._inspect(name_or_id)
        state, config = cast("Json", found["State"]), cast("Json", found["Config"])
        # Between two tries of a restart policy it "runs", but has no process.
        pid = int(str(state["Pid"])) if state["Running"] else 0
        return Container(
            id=str(found["Id"]),
            name=str(found["Name"]).removeprefix("/"),
            running=pid != 0,
            pid=pid,
            network_mode=str(cast("Json", found["HostConfig"])["NetworkMode"]),
            environment=tuple(cast("Sequence[str]", config.get("Env") or ())),
            hostname=str(config.get("Hostname") or ""),
            domain=str(config.get("Domainname") or ""),
            hosts_path=str(found.get("HostsPath") or ""),
        )

    def container_ids(self) -> set[str]:
        """Return the ids of all containers, also of those that do not run."""
        with self._asking("its containers"):
            return {str(each["Id"]) for each in self._api.containers(all=True)}

    def version(self) -> Json:
        """Return what the engine says of its version and its parts, as it says it."""
        with self._asking("its version"):
            return cast("Json", self._api.version())

    def info(self) -> Json:
        """Return what the engine says of itself, as it says it."""
        with self._asking("its state"):
            return cast("Json", self._api.info())

    def listing(self) -> Sequence[Json]:
        """Return a few words on each container, running or not, as the engine says them."""
        with self._asking("its containers"):
            return cast("Sequence[Json]", self._api.containers(all=True))

    def inspect(self, name_or_id: str) -> Json:
        """Return all that the engine knows of a container, as it says it; raise NotFound."""
        return self._inspect(name_or_id)

    def manages_swarm(self) -> bool:
        """Say whether the engine is a manager of a Docker Swarm, which listens on 2377 too."""
        with self._asking("its state"):
            swarm = self._api.info().get("Swarm") or {}
        return swarm.get("LocalNodeState") == "active" and bool(swarm.get("ControlAvailable"))

    def container_events(self) -> Iterator[ContainerEvent]:
        """Follow what happens to containers from now on, until the engine goes away.

        "From now on" is when this returns, not when the first event is asked for.
        """
        with self._asking("its events"):
            events = self._api.events(decode=True, filters={"type": "container"})
        return self._container_events(events)

    def _container_events(self, events: Iterator[Json]) -> Iterator[ContainerEvent]:
        with self._asking("its events"):
            for event in events:
                yield ContainerEvent(str(event.get("id")), str(event.get("Action")))

    def kill(self, container_id: str) -> None:
        """End a container at once; no error if it does not run or is gone.

        As somebody who stops it: a restart policy does not start it again.
        """
        with suppress(NotFound), self._asking(f"container {container_id}"):
            self._api.stop(container_id, timeout=0)

    def remove(self, container_id: str) -> None:
        """Remove a container, running or not; no error if it is gone."""
        self._remove(container_id)

    def is_running(self, name: str) -> bool:
        """Say whether there is such a container and it runs (not between two restarts)."""
        try:
            state = cast("Json", self._inspect(name)["State"])
        except NotFound:
            return False
        return bool(state["Running"]) and not state.get("Restarting", False)

    def own_container(self, name: str) -> OwnContainer | None:
        """Say how one of our own containers is, or None if there is none of that name."""
        try:
            with self._asking(f"container {name}"):
                # Only the list has Docker's words for how it is, only the other its variables.
                listed = self._api.containers(all=True, filters={"name": f"^/{name}$"})
                found = self._api.inspect_container(name)
        except NotFound:
            return None
        variables = (each.partition("=") for each in found["Config"]["Env"] or [])
        return OwnContainer(
            running=bool(listed) and listed[0]["State"] == "running",
            description=str(listed[0]["Status"]) if listed else "",
            environment={variable: value for variable, _, value in variables},
        )

    def execute(self, name: str, argv: Sequence[str]) -> str:
        """Run a program that only asks in a running container; return what it printed.

        Raises DockerError with its last lines if it ended with another code than 0. The container
        needs `sh`, and a `timeout`: docker-py would wait for the end without any limit. A busy
        engine now and then loses what a program prints that ends at once, so the end is marked,
        and without the mark the program is run once more.
        """
        words = ["sh", "-c", _AND_ITS_END, "sh", "timeout", str(_SECONDS_TO_EXECUTE), *argv]
        for _ in range(_TRIES_TO_EXECUTE):
            with self._asking(f"container {name}"):
                made = self._api.exec_create(name, words)["Id"]
                printed = bytes(self._api.exec_start(made)).decode(errors="replace")
            if end := _END.search(printed):
                break
        else:
            raise DockerError(f"Docker lost what `{shlex.join(argv)}` in container {name} printed")
        printed, code = printed[: end.start()], int(end["code"])
        if code != 0:
            said = _last_lines(printed, otherwise=f"exit code {code}")
            raise DockerError(f"`{shlex.join(argv)}` in container {name} failed: {said}")
        return printed

    def ensure(self, wanted: ContainerRequest) -> Outcome:
        """Make the container run as wanted, touching nothing if it does already.

        "As wanted" includes the image: a tag that names another image by now counts as a change.
        """
        try:
            found = self._inspect(wanted.name)
        except NotFound:
            self._create_and_start(wanted)
            return Outcome.CREATED
        if not self._is_as_wanted(found, wanted):
            self.stop_and_remove(wanted.name)
            self._create_and_start(wanted)
            return Outcome.REPLACED
        if cast("Json", found["State"])["Running"]:
            return Outcome.UNCHANGED
        with self._asking(f"container {wanted.name}"):
            self._api.start(wanted.name)
        return Outcome.STARTED

    def stop_and_remove(self, name: str) -> bool:
        """Stop the container in an orderly way and remove it; say whether it was there."""
        try:
            with self._asking(f"container {name}"):
                self._api.stop(name, timeout=_SECONDS_TO_STOP)
                self._api.remove_container(name, force=True)
        except NotFound:
            return False
        return True

    def run_to_end(self, wanted: ContainerRequest) -> str:
        """Run a container until it ends by itself, remove it, return all that it printed.

        Raises DockerError with its last lines if it ended with another code than 0.
        """
        self._remove(wanted.name)
        try:
            self._create_and_start(wanted)
            with self._asking(f"container {wanted.name}"):
                code = self._api.wait(wanted.name, timeout=_SECONDS_TO_ANSWER)["StatusCode"]
            printed = self.output(wanted.name)
        finally:
            self._remove(wanted.name)
        if code != 0:
            said = _last_lines(printed, otherwise=f"exit code {code}")
            raise DockerError(f"container {wanted.name} failed: {said}")
        return printed

    def wait_until(
        self, name: str, ready: Callable[[], bool], sleep: Callable[[float], None], seconds: float
    ) -> None:
        """Wait until `ready` says so while the container runs.

        Raises DeadlineExceeded with the container's last line if that does not happen in time.
        """
        for _ in range(round(seconds / _POLL_SECONDS)):
            if ready():
                return
            sleep(_POLL_SECONDS)
        last = _last_lines(self.output(name, lines=1), otherwise="nothing printed")
        raise DeadlineExceeded(
            f"container {name} is not ready after {seconds:g} s ({last})",
            hint=f"`docker logs {name}` shows what it did",
        )

    def output(self, name: str, lines: int | None = None) -> str:
        """Return what a container printed, or only its last lines."""
        with self._asking(f"container {name}"):
            printed = self._api.logs(name, tail="all" if lines is None else lines)
        return bytes(printed).decode(errors="replace")

    def follow_output(self, name: str) -> Iterator[str]:
        """Yield what a container prints from now on, in pieces, until it ends."""
        with self._asking(f"container {name}"):
            pieces = self._api.logs(name, stream=True, follow=True, tail=0)
            try:
                for piece in pieces:
                    yield bytes(piece).decode(errors="replace")
            finally:
                pieces.close()

    def image_of(self, name: str) -> str | None:
        """Return the image that a container was made from, or None if there is no container."""
        try:
            return str(cast("Json", self._inspect(name)["Config"])["Image"])
        except NotFound:
            return None

    def image_id(self, image: str) -> str | None:
        """Return the id of a local image, or None if it is not there."""
        try:
            with self._asking(f"image {image}"):
                found: Json = self._api.inspect_image(image)  # type: ignore[no-untyped-call]
                return str(found["Id"])
        except NotFound:
            return None

    def entrypoint(self, image: str) -> Sequence[str]:
        """Return the program that an image starts, with its first arguments; raise NotFound."""
        with self._asking(f"image {image}"):
            found: Json = self._api.inspect_image(image)  # type: ignore[no-untyped-call]
        config = cast("Json", found.get("Config") or {})
        return tuple(cast("Sequence[str]", config.get("Entrypoint") or ()))

    def pull(self, image: str) -> Iterator[Json]:
        """Pull an image; yield the engine's progress messages. Errors are among them.

        Raises DockerError if the engine cannot even begin (the image is not there, or no registry),
        or says nothing more for two minutes.
        """
        from docker.utils import parse_repository_tag

        from calico_ctl.docker_api.failures import translated_pull

        repository, tag = parse_repository_tag(image)
        with translated_pull(self.address, image):
            yield from self._api.pull(repository, tag=tag or "latest", stream=True, decode=True)

    def saved(self, image: str) -> Iterator[bytes]:
        """Yield an image as `docker save` writes it, in pieces; raise NotFound if it is not there.

        The file has the image's name if it is called by its name.
        """
        with self._asking(f"image {image}"):
            yield from self._api.get_image(image, _SAVED_AT_ONCE)

    def load(self, archive: BinaryIO) -> Iterator[Json]:
        """Load what `docker save` wrote; yield the engine's messages. Errors are among them."""
        with self._asking("image"):
            yield from self._api.load_image(archive)  # type: ignore[no-untyped-call]

    def build(
        self, image: str, context: bytes, dockerfile: str, arguments: Mapping[str, str]
    ) -> Iterator[Json]:
        """Build an image from a tar file; yield the engine's progress messages, errors too.

        On the host's network: packages come from there, and it may be all that there is.
        """
        with self._asking(f"image {image}"):
            yield from self._api.build(
                fileobj=io.BytesIO(context),
                custom_context=True,
                dockerfile=dockerfile,
                buildargs=dict(arguments),
                network_mode="host",
                tag=image,
                decode=True,
                rm=True,
                forcerm=True,
            )

    @cached_property
    def _api(self) -> "APIClient":
        from docker.utils import kwargs_from_env

        from calico_ctl.docker_api.pulling import Client

        # A mapping that is not empty, or docker-py reads the environment behind our back.
        environment = {"DOCKER_TLS_VERIFY": ""} | self._environment
        environment["DOCKER_HOST"] = self.address
        with self._asking("its version"):
            options = kwargs_from_env(environment=environment)
            return Client(version="auto", timeout=self.seconds, **options)

    def _asking(self, thing: str) -> AbstractContextManager[None]:
        from calico_ctl.docker_api.failures import translated

        return translated(self.address, thing)

    def _inspect(self, name: str) -> Json:
        with self._asking(f"container {name}"):
            return cast("Json", self._api.inspect_container(name))

    def _is_as_wanted(self, found: Json, wanted: ContainerRequest) -> bool:
        labels = cast("Json", cast("Json", found["Config"]).get("Labels") or {})
        return labels.get(CONFIGURATION_LABEL) == wanted.digest and found["Image"] == self.image_id(
            str(wanted.body["Image"])
        )

    def _create_and_start(self, wanted: ContainerRequest) -> None:
        with self._asking(f"container {wanted.name}"):
            # docker-py's own words for a container have none for ReadonlyPaths or UTSMode.
            self._api.create_container_from_config(  # type: ignore[no-untyped-call]
                wanted.labelled(), wanted.name
            )
            self._api.start(wanted.name)

    def _remove(self, name: str) -> None:
        with suppress(NotFound), self._asking(f"container {name}"):
            self._api.remove_container(name, force=True)


def with_scheme(address: str) -> str:
    """Return an engine's address with its scheme; `localhost:2377` is as good as `tcp://...`."""
    return address if "://" in address else f"tcp://{address}"


def through_proxy(address: str) -> bool:
    """Say whether an engine's address leads through our own proxy."""
    return address.rstrip("/").endswith(f":{PROXY_PORT}")


def _last_lines(printed: str, otherwise: str) -> str:
    """Return the end of what a program printed in one line: an error and its hint, for example."""
    return "; ".join(printed.strip().splitlines()[-3:]) or otherwise
