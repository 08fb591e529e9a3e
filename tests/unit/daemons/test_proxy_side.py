"""A side tells its connection what happens, passes bytes in a tunnel, and survives its socket."""

import ssl
from collections.abc import Callable

import pytest

from calico_ctl.daemons.proxy_side import Side, TlsSide, Transport
from tests.support.certificates import Certificates


class FakeTransport:
    """Notes what a side does to its socket."""

    def __init__(self) -> None:
        self.done: list[object] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.done.append(data)

    def write_eof(self) -> None:
        self.done.append("eof")

    def close(self) -> None:
        self.is_closed = True
        self.done.append("close")

    def abort(self) -> None:
        self.is_closed = True
        self.done.append("abort")

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        self.done.append("pause")

    def resume_reading(self) -> None:
        self.done.append("resume")

    def set_write_buffer_limits(self, high: int) -> None:
        assert high > 0

    def get_extra_info(self, name: str) -> object:
        return None


class FakeOwner:
    """Notes what a side tells."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.waiting: list[Callable[[], None]] = []

    def made(self, side: Side, transport: Transport) -> None:
        self.told.append("made")

    def heard(self, side: Side, data: bytes) -> None:
        self.told.append(data)

    def ended(self, side: Side) -> None:
        self.told.append("ended")

    def lost(self, side: Side) -> None:
        self.told.append("lost")

    def regulate(self) -> None:
        self.told.append("regulate")

    def later(self, seconds: float, action: Callable[[], None]) -> Callable[[], None]:
        self.waiting.append(action)
        return self.waiting.clear


def connected(side: Side) -> FakeTransport:
    transport = FakeTransport()
    side.connection_made(transport)
    return transport


@pytest.fixture
def owner():
    return FakeOwner()


def test_the_connection_hears_what_happens(owner):
    side = Side(owner)
    assert side.is_lost
    connected(side)
    side.data_received(b"abc")
    assert side.eof_received()
    side.connection_lost(None)
    assert owner.told == ["made", b"abc", "ended", "lost"]
    assert side.is_lost


def test_an_end_is_told_once(owner):
    side = Side(owner)
    connected(side)
    side.eof_received()
    side.eof_received()
    assert owner.told == ["made", "ended"]
    assert side.has_ended


def test_in_a_tunnel_bytes_go_to_the_other_side(owner):
    side, other = Side(owner), Side(owner)
    connected(side)
    transport = connected(other)
    side.other = other
    side.data_received(b"abc")
    assert transport.done == [b"abc"]
    assert owner.told == ["made", "made"]


def test_reading_is_paused_and_resumed_only_when_that_changes(owner):
    side = Side(owner)
    side.read_if(False)
    transport = connected(side)
    for wanted in (True, False, False, True, True):
        side.read_if(wanted)
    assert transport.done == ["pause", "resume"]


def test_what_cannot_be_sent_at_once_is_told(owner):
    side = Side(owner)
    connected(side)
    side.pause_writing()
    full = side.is_full
    side.resume_writing()
    assert (full, side.is_full) == (True, False)
    assert owner.told == ["made", "regulate", "regulate"]


def test_nothing_is_done_to_a_socket_that_is_no_more(owner):
    side = Side(owner)
    transport = connected(side)
    side.write(b"a")
    side.end()
    side.close()
    side.write(b"b")
    side.connection_lost(None)
    for action in (side.end, side.close, side.abort):
        action()
    side.write(b"c")
    assert transport.done == [b"a", "eof", "close"]


def test_a_side_can_be_ended_at_once(owner):
    side = Side(owner)
    transport = connected(side)
    side.abort()
    assert transport.done == ["abort"]


# TLS


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    certificates = Certificates(tmp_path_factory.mktemp("tls"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate("server"), certificates.key("server"))
    return context


def shake_hands(side: TlsSide, transport: FakeTransport) -> tuple[ssl.SSLObject, ssl.MemoryBIO]:
    """Connect with TLS; return the client's end, and what it has to send."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client.wrap_bio(incoming, outgoing)
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            side.data_received(outgoing.read())
            for data in transport.done:
                assert isinstance(data, bytes)
                incoming.write(data)
            transport.done.clear()
        else:
            side.data_received(outgoing.read())
            return tls, outgoing


def test_with_tls_the_connection_hears_what_the_client_says(owner, context):
    side = TlsSide(owner, context)
    tls, outgoing = shake_hands(side, connected(side))
    tls.write(b"abc")
    side.data_received(outgoing.read())
    assert owner.told == ["made", b"abc"]


def test_with_tls_the_last_word_is_heard_and_answers_still_go_out(owner, context):
    side = TlsSide(owner, context)
    transport = connected(side)
    tls, outgoing = shake_hands(side, transport)
    with pytest.raises(ssl.SSLWantReadError):
        tls.unwrap()
    side.data_received(outgoing.read())
    assert owner.told == ["made", "ended"]
    transport.done.clear()
    side.write(b"answer")
    side.end()
    assert len(transport.done) == 2
    assert "eof" not in transport.done


def test_a_client_that_does_not_say_who_it_is_is_left(owner, context):
    side = TlsSide(owner, context)
    transport = connected(side)
    (be_impatient,) = owner.waiting
    be_impatient()
    assert transport.done == ["abort"]


def test_a_client_that_has_said_who_it_is_may_be_silent(owner, context):
    side = TlsSide(owner, context)
    shake_hands(side, connected(side))
    assert owner.waiting == []


def test_a_client_that_has_gone_is_not_waited_for(owner, context):
    side = TlsSide(owner, context)
    connected(side)
    side.connection_lost(None)
    assert owner.waiting == []


def test_a_client_that_speaks_no_tls_is_told_and_left(owner, context):
    side = TlsSide(owner, context)
    transport = connected(side)
    side.data_received(b"GET /_ping HTTP/1.1\r\n\r\n")
    assert transport.done[-1] == "close"
    assert owner.told == ["made"]
