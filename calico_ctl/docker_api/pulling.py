"""docker-py's client, with an end to pulls that stand still: by itself it waits for ever."""

import docker

LONGEST_SILENCE = 120
"""Seconds. Docker itself gives up sooner on a registry that it cannot reach, and says why."""

_PULL = "/images/create"


class Client(docker.APIClient):
    """As docker-py's own; but a pull of which nothing more is heard fails as a read that timed out.

    While layers come or are unpacked, the engine says so again and again.
    """

    def _post(self, url: str, **options: object) -> object:
        if url.endswith(_PULL):
            options["timeout"] = LONGEST_SILENCE
        return super()._post(url, **options)  # type: ignore[misc]
