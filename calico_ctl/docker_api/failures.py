"""docker-py's exceptions → ours, with the library's own chained as the cause."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import docker
import requests
import urllib3

from calico_ctl.docker_api import pulling
from calico_ctl.errors import CalicoError, Conflict, DockerError, DockerUnavailable, NotFound

_AMBIGUOUS = "multiple ids found"
_TIMEOUTS = (requests.exceptions.ReadTimeout, urllib3.exceptions.ReadTimeoutError)
"""The second one is in the middle of a stream."""


@contextmanager
def translated(address: str, thing: str) -> Iterator[None]:
    """Let only our errors out of the block, which asks the engine at `address` about `thing`."""
    try:
        yield
    except docker.errors.APIError as error:
        raise _refused(thing, error) from error
    # urllib3's own come through where an answer breaks off in the middle of a stream.
    except (
        docker.errors.DockerException,
        requests.exceptions.RequestException,
        urllib3.exceptions.HTTPError,
        OSError,
    ) as error:
        raise _unreachable(address, error) from error


@contextmanager
def translated_pull(address: str, image: str) -> Iterator[None]:
    """Let only our errors out of a pull, with the registry's words: they are what says why."""
    failed = f"cannot pull {image}"
    with translated(address, f"image {image}"):
        try:
            yield
        except docker.errors.APIError as error:
            raise DockerError(f"{failed}: {_said(error)}") from error
        # Not the engine's: a program that knows passwords of registries failed, for example.
        except docker.errors.DockerException as error:
            raise DockerError(f"{failed}: {error}") from error
        except _TIMEOUTS as error:
            raise DockerError(
                f"{failed}: nothing more came for {pulling.LONGEST_SILENCE} s;"
                " the registry hangs, or the Docker Engine"
            ) from error


def silent(address: str) -> DockerUnavailable:
    """Return what is said of an engine that was waited for long enough."""
    return DockerUnavailable(
        f"the Docker Engine at {address} does not answer in time",
        hint="if it hangs, restart it; its log says more",
    )


def _refused(thing: str, error: docker.errors.APIError) -> CalicoError:
    said = _said(error)
    if _AMBIGUOUS in said.lower():
        return Conflict(
            f"{thing} is ambiguous: more than one container id starts so",
            hint="give more of the id, or the name",
        )
    if error.status_code == requests.codes.not_found:
        hint = "`docker ps --all` lists containers" if thing.startswith("container ") else ""
        return NotFound(f"there is no {thing}", hint=hint)
    return DockerError(f"{thing}: the Docker Engine refused ({said})")


def _said(error: docker.errors.APIError) -> str:
    return str(error.explanation or error).strip()


def _unreachable(address: str, error: BaseException) -> DockerUnavailable:
    number, reason = _system_error(error)
    where = f"the Docker Engine at {address}"
    if any(isinstance(each, _TIMEOUTS) for each in _inside(error)):
        return silent(address)
    if number in {errno.EACCES, errno.EPERM}:
        return DockerUnavailable(
            f"cannot reach {where}: permission denied",
            hint="run as root, or as a member of the socket's group (usually `docker`)",
        )
    if number in {errno.ENOENT, errno.ECONNREFUSED}:
        return DockerUnavailable(
            f"cannot reach {where}: it is not running",
            hint="start Docker there, or set DOCKER_HOST to where it listens",
        )
    return DockerUnavailable(f"cannot reach {where}: {reason}")


def _system_error(error: BaseException) -> tuple[int | None, str]:
    """Find the operating system's error at the bottom; libraries wrap it up to four times."""
    for each in _inside(error):
        if isinstance(each, OSError) and each.errno is not None:
            return each.errno, each.strerror or str(each)
    return None, str(error)


def _inside(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that it wraps."""
    seen: list[BaseException] = [error]
    for each in seen:
        yield each
        wrapped = (each.__cause__, each.__context__, getattr(each, "reason", None), *each.args)
        seen.extend(
            inner for inner in wrapped if isinstance(inner, BaseException) and inner not in seen
        )
