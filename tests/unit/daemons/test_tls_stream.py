"""TLS with clients that have a certificate, half-closes included."""

import contextlib
import ssl

import pytest

from calico_ctl.daemons.tls_stream import Heard, TlsFailed, TlsStream
from tests.support.certificates import Certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("tls"))


def server(certificates: Certificates) -> TlsStream:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate("server"), certificates.key("server"))
    context.load_verify_locations(certificates.certificate("ca"))
    context.verify_mode = ssl.CERT_REQUIRED
    return TlsStream(context)


class Client:
    """The other end, by the standard library."""

    def __init__(
        self, certificates: Certificates, name: str | None, version: ssl.TLSVersion
    ) -> None:
        context = ssl.create_default_context(cafile=certificates.certificate("ca"))
        context.maximum_version = version
        if name:
            context.load_cert_chain(certificates.certificate(name), certificates.key(name))
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def shake_hands(self, stream: TlsStream) -> None:
        for _ in range(4):
            with contextlib.suppress(ssl.SSLWantReadError):
                self.tls.do_handshake()
            stream.receive(self.outgoing.read())
            self.incoming.write(stream.outgoing())

    def read(self) -> bytes:
        return self.tls.read(1 << 20)


VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(params=VERSIONS, ids=lambda version: version.name)
def pair(request, certificates):
    stream, client = server(certificates), Client(certificates, "client", request.param)
    client.shake_hands(stream)
    return stream, client


def test_both_sides_hear_each_other(pair):
    stream, client = pair
    client.tls.write(b"ping")
    assert stream.receive(client.outgoing.read()) == Heard(b"ping")
    stream.send(b"pong")
    client.incoming.write(stream.outgoing())
    assert client.read() == b"pong"


def test_much_is_sent_whole(pair):
    stream, client = pair
    stream.send(bytes(100_000))
    client.incoming.write(stream.outgoing())
    received = 0
    while received < 100_000:
        received += len(client.read())
    assert received == 100_000


def test_what_comes_in_pieces_is_heard_whole(pair):
    stream, client = pair
    client.tls.write(b"ping")
    heard = [stream.receive(bytes((each,))).data for each in client.outgoing.read()]
    assert b"".join(heard) == b"ping"


def test_a_client_that_will_send_no_more_still_gets_its_answer(pair):
    stream, client = pair
    client.tls.write(b"all")
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.unwrap()
    assert stream.receive(client.outgoing.read()) == Heard(b"all", has_ended=True)
    stream.send(b"answer")
    data = stream.outgoing()
    assert data
    assert b"answer" not in data
    stream.end()
    assert stream.outgoing()


def test_a_half_close_of_ours_is_heard_and_the_client_may_go_on(pair):
    stream, client = pair
    stream.send(b"last")
    stream.end()
    client.incoming.write(stream.outgoing())
    assert client.read() == b"last"
    assert client.read() == b""
    client.tls.write(b"more")
    assert stream.receive(client.outgoing.read()) == Heard(b"more")


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("name", [None, "stranger"])
def test_a_client_without_a_certificate_that_counts_is_told_and_left(certificates, name, version):
    stream, client = server(certificates), Client(certificates, name, version)
    with pytest.raises(TlsFailed):
        client.shake_hands(stream)
    assert stream.outgoing()
    assert not stream.is_established


def test_a_client_that_speaks_no_tls_is_left(certificates):
    with pytest.raises(TlsFailed):
        server(certificates).receive(b"GET /_ping HTTP/1.1\r\n\r\n")


def test_nothing_is_said_before_it_is_known_to_whom(certificates):
    stream = server(certificates)
    stream.send(b"secret")
    stream.end()
    assert stream.outgoing() == b""
