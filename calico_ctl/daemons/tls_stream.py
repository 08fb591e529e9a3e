"""TLS of one accepted connection, between bytes of a socket and bytes of the client.

Unlike asyncio's it can half-close: a client that says it will send no more still gets its answer.
So it is with the engine itself, and `docker run -i` with a piped stdin needs it.
"""

import contextlib
import ssl
from dataclasses import dataclass

_READ = 256 * 1024


class TlsFailed(Exception):
    """The client's bytes are not TLS, or it has no certificate that is accepted."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What the client said: bytes, and whether it will say no more."""

    data: bytes = b""
    has_ended: bool = False


class TlsStream:
    """The state of one connection's TLS. After each call `outgoing` is to be sent."""

    def __init__(self, context: ssl.SSLContext) -> None:
        """Wait for the client's first word."""
        self.is_established = False
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def outgoing(self) -> bytes:
        """Take the bytes that are to be sent on the socket."""
        return self._outgoing.read()

    def receive(self, data: bytes) -> Heard:
        """Take bytes of the socket.

        Raises TlsFailed; what is `outgoing` then tells the client why.
        """
        self._incoming.write(data)
        try:
            if not self.is_established:
                self._tls.do_handshake()
                self.is_established = True
            return self._read()
        except ssl.SSLWantReadError:
            return Heard()
        except ssl.SSLError as error:
            raise TlsFailed(error.reason or str(error)) from error

    def send(self, data: bytes) -> None:
        """Say something to the client; nothing can be said before it is known who that is."""
        if not self.is_established:
            return
        rest = memoryview(data)
        while rest:
            # Reading is ahead of writing here, so this never has to wait for bytes of the client.
            rest = rest[self._tls.write(rest) :]

    def end(self) -> None:
        """Say that nothing more comes."""
        if self.is_established:
            # The client's own last word may come later, or never.
            with contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()

    def _read(self) -> Heard:
        """Read all that is there."""
        pieces: list[bytes] = []
        try:
            while piece := self._tls.read(_READ):
                pieces.append(piece)
        except ssl.SSLWantReadError:
            return Heard(b"".join(pieces))
        except ssl.SSLZeroReturnError:
            pass
        return Heard(b"".join(pieces), has_ended=True)
