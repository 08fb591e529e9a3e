"""Answers that are ours: errors in the engine's form, and the engine's answers written anew."""

import json

import h11

from calico_ctl import errors
from calico_ctl.errors import CalicoError
from calico_ctl.proxy import heads
from calico_ctl.proxy.engine_side import Head

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_REASONS = {
    400: "Bad Request",
    403: "Forbidden",
    408: "Request Timeout",
    409: "Conflict",
    413: "Request Entity Too Large",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
}

# Never 404: at a create call it means to the client that it shall pull the image.
_STATUS: tuple[tuple[tuple[type[CalicoError], ...], int], ...] = (
    ((errors.InvalidValue, errors.NoSuchPool, errors.NoGateway), 400),
    ((errors.Conflict, errors.AlreadyExists, errors.PoolExhausted), 409),
    ((errors.DatastoreUnavailable, errors.DockerUnavailable), 503),
    ((errors.DeadlineExceeded,), 504),
)


def status_of(error: CalicoError) -> int:
    """Return the HTTP status of an answer that tells of this error."""
    return next((status for classes, status in _STATUS if isinstance(error, classes)), 500)


def message_of(error: CalicoError) -> str:
    """Return the text of an answer that tells of this error."""
    return f"{error.message}; {error.hint}" if error.hint else error.message


def loggable(error: CalicoError) -> str:
    """Return what a log may tell of it: no value out of a container's environment."""
    if isinstance(error, errors.InvalidValue):
        return f"invalid {error.what}"
    return message_of(error)


def refusal(status: int, message: str, *, closes: bool, bodiless: bool = False) -> bytes:
    """Return an error as the engine writes it: JSON with the member `message`.

    `closes` tells the client that the connection ends; `bodiless` is for an answer to HEAD.
    """
    body = json.dumps({"message": message}).encode() + b"\n"
    lines = [
        f"HTTP/1.1 {status} {_REASONS[status]}",
        "Content-Type: application/json",
        *(["Connection: close"] if closes else []),
        f"Content-Length: {len(body)}",
    ]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode() + (b"" if bodiless else body)


def with_body(head: Head, body: bytes) -> bytes:
    """Return the engine's answer with another body: the same headers, the length corrected."""
    writer = h11.Connection(h11.SERVER)
    response = h11.Response(
        status_code=head.status,
        reason=head.reason,
        headers=heads.with_length(head.fields, len(body)),
    )
    return writer.send(response) + writer.send(h11.Data(body)) + writer.send(h11.EndOfMessage())


class Http10Answer:
    """Writes an answer for a client of HTTP/1.0: no chunks, and the connection ends it."""

    def __init__(self, method: str) -> None:
        """Answer a request with this method."""
        self._writer = h11.Connection(h11.SERVER)
        self._writer.receive_data(f"{method} / HTTP/1.0\r\n\r\n".encode())
        self._writer.next_event()

    def head(self, head: Head) -> bytes:
        """Return the bytes of the head."""
        response = h11.Response(status_code=head.status, reason=head.reason, headers=head.fields)
        return self._writer.send(response)

    def data(self, decoded: bytes) -> bytes:
        """Return the bytes of a piece of the body, which may be empty."""
        return self._writer.send(h11.Data(decoded)) if decoded else b""
