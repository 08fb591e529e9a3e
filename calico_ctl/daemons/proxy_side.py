"""One of the two sockets of a proxied connection: read with restraint, written to, half-closed.

A side tells its connection what happens, except in a tunnel, where it has the `other` side to pass
bytes to. An event loop calls its methods as those of a protocol; it knows no event loop itself.
"""

import logging
import ssl
from collections.abc import Callable
from typing import Protocol

from calico_ctl.daemons.tls_stream import TlsFailed, TlsStream

log = logging.getLogger(__name__)

HANDSHAKE_SECONDS = 30.0

_BUFFER = 256 * 1024
"""Bytes that may wait to be sent before nobody may write any more."""


class Transport(Protocol):
    """A socket as the event loop offers it."""

    def write(self, data: bytes) -> None:
        """Send, now or later."""

    def write_eof(self) -> None:
        """Half-close, after what was written."""

    def close(self) -> None:
        """Close, after what was written."""

    def abort(self) -> None:
        """Close now."""

    def is_closing(self) -> bool:
        """Whether one of the two was asked for."""

    def pause_reading(self) -> None:
        """Take no bytes from now on."""

    def resume_reading(self) -> None:
        """Take bytes again."""

    def set_write_buffer_limits(self, high: int) -> None:
        """Say how many bytes may wait to be sent."""

    def get_extra_info(self, name: str) -> object:
        """Return something of the socket's."""


class Owner(Protocol):
    """The connection that two sides belong to."""

    def made(self, side: "Side", transport: Transport) -> None:
        """Hear that the socket is there."""

    def heard(self, side: "Side", data: bytes) -> None:
        """Hear bytes."""

    def ended(self, side: "Side") -> None:
        """Hear that no more bytes come."""

    def lost(self, side: "Side") -> None:
        """Hear that the socket is no more."""

    def regulate(self) -> None:
        """Say from whom to read, because a side can take bytes again, or none any more."""

    def later(self, seconds: float, action: Callable[[], None]) -> Callable[[], None]:
        """Do something after a while; return what takes that back."""


class Side:
    """A socket without TLS."""

    __slots__ = ("_is_read", "_owner", "_transport", "has_ended", "is_full", "other")

    def __init__(self, owner: Owner) -> None:
        """Wait for the socket."""
        self._owner = owner
        self._transport: Transport | None = None
        self._is_read = True
        self.other: Side | None = None
        self.is_full = False
        self.has_ended = False

    # What the event loop calls.

    def connection_made(self, transport: Transport) -> None:
        """Take the socket."""
        self._transport = transport
        transport.set_write_buffer_limits(high=_BUFFER)
        self._owner.made(self, transport)

    def data_received(self, data: bytes) -> None:
        """Pass bytes on."""
        if self.other is not None:
            self.other.write(data)
        else:
            self._owner.heard(self, data)

    def eof_received(self) -> bool:
        """Tell that no more bytes come, once; True: the socket stays open to write to."""
        if not self.has_ended:
            self.has_ended = True
            self._owner.ended(self)
        return True

    def connection_lost(self, _error: Exception | None) -> None:
        """Tell that the socket is no more."""
        self._transport = None
        self._owner.lost(self)

    def pause_writing(self) -> None:
        """Take note that too much waits to be sent."""
        self.is_full = True
        self._owner.regulate()

    def resume_writing(self) -> None:
        """Take note that more can be sent."""
        self.is_full = False
        self._owner.regulate()

    # What its connection calls.

    @property
    def is_lost(self) -> bool:
        """Whether the socket is no more, or not yet."""
        return self._transport is None

    def write(self, data: bytes) -> None:
        """Send, unless nobody listens any more."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def end(self) -> None:
        """Send that nothing more comes."""
        if self._transport is not None:
            self._transport.write_eof()

    def read_if(self, wanted: bool) -> None:
        """Read from now on, or let the other end wait."""
        if self._transport is None or wanted == self._is_read:
            return
        self._is_read = wanted
        if wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def close(self) -> None:
        """Send what is left to send, and end."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End now."""
        if self._transport is not None:
            self._transport.abort()


class TlsSide(Side):
    """A client's socket with TLS on it."""

    __slots__ = ("_be_patient", "_tls")

    def __init__(self, owner: Owner, context: ssl.SSLContext) -> None:
        """Wait for the socket, and then for the client to say who it is."""
        super().__init__(owner)
        self._tls = TlsStream(context)
        self._be_patient = owner.later(HANDSHAKE_SECONDS, self.abort)

    def data_received(self, data: bytes) -> None:
        """Pass on what the bytes say, if the client is one of those who are served."""
        try:
            heard = self._tls.receive(data)
        except TlsFailed as error:
            log.info("a client was refused: %s", error)
            self._send()
            self.close()
            return
        self._send()
        if self._tls.is_established:
            self._be_patient()
        if heard.data:
            super().data_received(heard.data)
        if heard.has_ended:
            self.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        """Tell that the socket is no more."""
        self._be_patient()
        super().connection_lost(error)

    def write(self, data: bytes) -> None:
        """Send, unless nobody listens any more or it is not known who does."""
        self._tls.send(data)
        self._send()

    def end(self) -> None:
        """Send that nothing more comes, and leave the socket open to hear more."""
        self._tls.end()
        self._send()

    def _send(self) -> None:
        super().write(self._tls.outgoing())
