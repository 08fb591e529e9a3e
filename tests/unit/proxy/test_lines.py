"""How much is read from a client, and how its end is passed on."""

from calico_ctl.proxy.events import (
    Ask,
    ClientBytes,
    ClientEof,
    Close,
    EngineEof,
    HalfCloseEngine,
    Identify,
    OpenEngine,
    ToClient,
    ToEngine,
)
from calico_ctl.proxy.heads import HEAD_LIMIT
from calico_ctl.proxy.lines import PIPELINE_LIMIT
from tests.support.playbook import Playbook, answer, request

PING, PONG = request("GET /_ping"), answer("200 OK", body=b"OK")


def waiting() -> Playbook:
    """A conversation that waits for the engine's answer."""
    return Playbook().client(PING, OpenEngine()).opened(ToEngine(PING))


def test_requests_that_wait_for_their_turn_are_not_read_without_end():
    book = waiting().client(PING + bytes(PIPELINE_LIMIT))
    assert not book.conversation.reads_client
    assert not book.conversation.awaits_body


def test_a_head_may_be_longer_than_what_waits_for_its_turn():
    book = Playbook()
    book.conversation.receive(ClientBytes(PING[:-2] + b"X: " + b"x" * (HEAD_LIMIT - 100)))
    assert book.conversation.reads_client


def test_the_end_of_a_client_is_passed_on_while_its_request_is_under_way():
    waiting().when(ClientEof(), HalfCloseEngine()).engine(PONG, ToClient(PONG), Close())


def test_the_end_of_a_client_waits_for_the_requests_before_it():
    book = waiting().client(PING).when(ClientEof())
    book.engine(PONG, ToClient(PONG), ToEngine(PING), HalfCloseEngine())
    book.engine(PONG, ToClient(PONG), Close())


def test_the_end_in_the_middle_of_a_body_is_passed_on():
    build = request("POST /build", "Content-Length: 9") + b"abc"
    book = Playbook().client(build, OpenEngine()).opened(ToEngine(build))
    refused = answer("400 Bad Request", "Connection: close", body=b"unexpected EOF")
    book.when(ClientEof(), HalfCloseEngine()).engine(refused, ToClient(refused), Close())


def test_the_end_of_a_client_while_the_engine_is_opened_is_passed_on_after_the_request():
    book = Playbook().client(PING, OpenEngine()).when(ClientEof())
    book.opened(ToEngine(PING), HalfCloseEngine())


def test_an_engine_that_goes_before_a_request_is_passed_on_takes_the_client_along():
    book = waiting().engine(PONG, ToClient(PONG))
    remove = request("DELETE /containers/web")
    book.client(remove, Ask(Identify("web"))).when(EngineEof()).done(None, Close())


def test_the_end_in_the_middle_of_a_head_ends_the_conversation():
    book = Playbook()
    book.conversation.receive(ClientBytes(PING[:9]))
    assert book.conversation.receive(ClientEof())[-1] == Close()
