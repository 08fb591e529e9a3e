import docker
import pytest
import requests
import urllib3

from calico_ctl.docker_api.failures import translated, translated_pull
from calico_ctl.errors import CalicoError, Conflict, DockerError, DockerUnavailable, NotFound


def translate(error: Exception, thing: str = "container web") -> CalicoError:
    with pytest.raises(CalicoError) as caught, translated("unix:///d.sock", thing):
        raise error
    assert caught.value.__cause__ is error
    return caught.value


def answer(status: int, message: str) -> docker.errors.APIError:
    response = requests.Response()
    response.status_code = status
    return docker.errors.APIError("refused", response=response, explanation=message)


def pull(error: Exception) -> CalicoError:
    with pytest.raises(CalicoError) as caught, translated_pull("unix:///d.sock", "web:1"):
        raise error
    assert caught.value.__cause__ is error
    return caught.value


def unreachable(error: OSError) -> Exception:
    """What the library makes of it: each layer wraps the one below, as an argument."""
    return docker.errors.DockerException("Error while fetching", requests.ConnectionError(error))


def test_what_is_not_there_is_named():
    error = translate(answer(404, "No such container: web"))
    assert isinstance(error, NotFound)
    assert error.message == "there is no container web"
    assert "docker ps" in error.hint


def test_an_ambiguous_prefix_is_a_conflict_although_docker_says_not_found():
    error = translate(answer(404, "Multiple IDs found with provided prefix: ab"))
    assert isinstance(error, Conflict)
    assert error.hint == "give more of the id, or the name"


def test_a_refusal_says_what_docker_said():
    error = translate(answer(500, "no space left on device"))
    assert isinstance(error, DockerError)
    assert error.message == "container web: the Docker Engine refused (no space left on device)"


def test_permission_denied_and_not_running_are_told_apart():
    denied = translate(unreachable(PermissionError(13, "Permission denied")))
    absent = translate(unreachable(FileNotFoundError(2, "No such file or directory")))
    assert isinstance(denied, DockerUnavailable)
    assert denied.message == ("cannot reach the Docker Engine at unix:///d.sock: permission denied")
    assert isinstance(absent, DockerUnavailable)
    assert absent.message == "cannot reach the Docker Engine at unix:///d.sock: it is not running"


def test_silence_is_an_unavailable_engine():
    silent = requests.exceptions.ReadTimeout("read timed out")
    wrapped = docker.errors.DockerException("Error while fetching server API version")
    wrapped.__cause__ = silent
    in_a_stream = urllib3.exceptions.ReadTimeoutError(
        urllib3.HTTPConnectionPool("localhost"), "", "Read timed out."
    )
    for error in map(translate, (silent, wrapped, in_a_stream)):
        assert isinstance(error, DockerUnavailable)
        assert error.message == "the Docker Engine at unix:///d.sock does not answer in time"
        assert "restart it" in error.hint


def test_our_own_errors_pass_as_they_are():
    with pytest.raises(NotFound, match="mine"), translated("unix:///d.sock", "container web"):
        raise NotFound("mine")


@pytest.mark.parametrize("status", [404, 500])
def test_a_pull_that_is_refused_says_what_the_registry_said(status):
    error = pull(answer(status, "manifest unknown\n"))
    assert type(error) is DockerError
    assert error.message == "cannot pull web:1: manifest unknown"


def test_passwords_that_cannot_be_had_are_not_the_engines_fault():
    error = pull(docker.errors.DockerException("Credentials store error"))
    assert type(error) is DockerError
    assert error.message == "cannot pull web:1: Credentials store error"


def test_an_engine_that_goes_away_during_a_pull_is_named():
    error = pull(requests.ConnectionError(ConnectionRefusedError(111, "Connection refused")))
    assert isinstance(error, DockerUnavailable)
    assert error.message == "cannot reach the Docker Engine at unix:///d.sock: it is not running"
