"""What the proxy makes of calls that are its own, and how it begins and ends conversations."""

import json
from typing import Any

import pytest
from netaddr import IPAddress

from calico_ctl import errors
from calico_ctl.model.endpoint import Endpoint, EndpointKey, State
from calico_ctl.model.wish import Wish
from calico_ctl.proxy.conversation import CREATE_LIMIT, HTTP2_PREFACE, SMALL_BODY
from calico_ctl.proxy.events import (
    Ask,
    AwaitAgent,
    Check,
    ClientBytes,
    ClientEof,
    ClientGone,
    Close,
    Command,
    Compute,
    Connect,
    Done,
    EngineBytes,
    EngineEof,
    EngineOpened,
    EngineRefused,
    Free,
    HalfCloseEngine,
    Hold,
    Identify,
    OpenEngine,
    Release,
    Report,
    Reserve,
    StartTimer,
    StopTimer,
    TimeUp,
    ToClient,
    ToEngine,
    Tunnel,
    Wishes,
)
from calico_ctl.proxy.rewrite import FindEndpoint
from tests.support.playbook import Playbook, answer, chunked, refusal, request

PING, PONG = request("GET /_ping"), answer("200 OK", body=b"OK")
WISH = Wish((IPAddress("10.1.2.3"),))
OURS = json.dumps({"Image": "i", "Env": ["CALICO_IP=10.1.2.3"]}).encode()
CREATED = answer("201 Created", body=b'{"Id":"f00d","Warnings":[]}\n')
STARTED = answer("204 No Content", "Server: Docker")
ENDPOINT = Endpoint(
    EndpointKey("h", "docker", "f00d", "e"),
    State.ACTIVE,
    "cali1",
    "aa:bb:cc:dd:ee:ff",
    addresses=(IPAddress("10.1.2.3"),),
)


def open_playbook(endpoint: FindEndpoint = lambda _id: None) -> Playbook:
    """A conversation whose connection to the engine is there already."""
    book = Playbook(endpoint)
    book.client(PING, OpenEngine()).opened(ToEngine(PING)).engine(PONG, ToClient(PONG))
    return book


def taken_out_of_dockers_hands(sent: bytes) -> bool:
    head, body = sent.split(b"\r\n\r\n", 1)
    assert json.loads(body)["HostConfig"]["NetworkMode"] == "none"
    assert b"Content-Length: %d" % len(body) in head
    return True


class CreateSent(ToEngine):
    """Equal to the create request as the engine has to get it."""

    def __init__(self) -> None:
        super().__init__(b"the create request with the network none")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ToEngine) and taken_out_of_dockers_hands(other.data)

    def __hash__(self) -> int:
        return 0


def created(book: Playbook) -> Playbook:
    create = request("POST /v1.41/containers/create", body=OURS)
    return book.client(create, Ask(Check(WISH))).done(None, CreateSent())


# Create


def test_a_wish_is_checked_before_and_reserved_before_the_client_has_the_answer():
    book = created(open_playbook())
    book.engine(CREATED, Ask(Reserve("f00d", WISH)))
    report = Report("POST /v1.41/containers/create", "reserved the addresses of f00d")
    book.done(None, report, ToClient(CREATED)).client(PING, ToEngine(PING))


def test_a_create_request_without_a_wish_passes_as_it_is():
    create = request("POST /containers/create", "X-A: 1", body=b'{ "Image":"i" }')
    open_playbook().client(create, ToEngine(create)).engine(CREATED, ToClient(CREATED))


@pytest.mark.parametrize("line", ["GET /containers/web/json", "GET /containers/json"])
def test_a_call_whose_answer_has_to_be_seen_does_not_become_http2(line):
    asked = request(line, "Upgrade: h2c", "HTTP2-Settings: AAMAAABk", "X-A: 1")
    open_playbook().client(asked, ToEngine(request(line, "X-A: 1")))


def test_a_create_request_in_chunks_without_a_wish_keeps_its_trailers():
    head = request("POST /containers/create", "Transfer-Encoding: chunked")
    book = open_playbook().client(head, StartTimer(60))
    body = chunked(b"{}", trailers=("X-T: 1",))
    book.client(body, StopTimer(), ToEngine(head + body))


def test_a_create_request_in_chunks_with_a_wish_gets_a_length():
    head = request("POST /containers/create", "Transfer-Encoding: chunked")
    book = open_playbook()
    book.client(head + chunked(OURS[:9], OURS[9:]), Ask(Check(WISH))).done(None, CreateSent())


def test_a_refused_wish_does_not_reach_the_engine():
    create = request("POST /containers/create", body=OURS)
    book = open_playbook().client(create, Ask(Check(WISH)))
    error = errors.AlreadyExists("10.1.2.3 is taken", hint="take another")
    told = "10.1.2.3 is taken; take another"
    book.when(
        Done(error=error),
        Report("POST /containers/create", f"409: {told}"),
        ToClient(refusal("409 Conflict", told)),
    )
    book.client(PING, ToEngine(PING))


def test_a_wish_that_cannot_be_read_is_refused_and_its_value_not_logged():
    create = request("POST /containers/create", body=b'{"Env": ["CALICO_IP=s3cret"]}')
    commands = open_playbook().conversation.receive(ClientBytes(create))
    report, said = commands
    assert report == Report("POST /containers/create", "400: invalid CALICO_IP")
    assert isinstance(said, ToClient)
    assert b"HTTP/1.1 400 Bad Request" in said.data
    assert b"s3cret" in said.data


def test_a_failed_reservation_replaces_the_engines_answer():
    book = created(open_playbook()).engine(CREATED, Ask(Reserve("f00d", WISH)))
    book.when(
        Done(error=errors.DatastoreUnavailable("1.2.3.4:4001", "refused")),
        Report(
            "POST /v1.41/containers/create",
            "503: cannot reach etcd at 1.2.3.4:4001 (refused); "
            "start etcd there, or set ETCD_AUTHORITY=<host>:<port>",
        ),
        ToClient(
            refusal(
                "503 Service Unavailable",
                "cannot reach etcd at 1.2.3.4:4001 (refused); "
                "start etcd there, or set ETCD_AUTHORITY=<host>:<port>",
            )
        ),
    )
    book.client(PING, ToEngine(PING))


def test_an_error_of_the_engine_about_a_wish_passes_as_it_is():
    no_image = answer("404 Not Found", body=b'{"message":"No such image"}')
    created(open_playbook()).engine(no_image, ToClient(no_image))


@pytest.mark.parametrize("body", [b"{}", b"[]", b"x", b'{"Id":""}', b'{"Id":5}'])
def test_an_answer_without_an_id_is_an_error_and_not_a_success(body):
    book = created(open_playbook())
    book.engine(
        answer("201 Created", body=body),
        Report(
            "POST /v1.41/containers/create",
            "500: the Docker Engine created a container and did not tell its id",
        ),
        ToClient(
            refusal(
                "500 Internal Server Error",
                "the Docker Engine created a container and did not tell its id",
            )
        ),
    )


def test_a_client_that_waits_for_a_word_before_the_body_gets_ours():
    head = request(
        "POST /containers/create", "Expect: 100-continue", f"Content-Length: {len(OURS)}"
    )
    book = open_playbook()
    book.client(head, ToClient(b"HTTP/1.1 100 Continue\r\n\r\n"), StartTimer(60))
    book.client(OURS, StopTimer(), Ask(Check(WISH)))
    (sent,) = book.conversation.receive(Done())
    assert isinstance(sent, ToEngine)
    assert b"Expect" not in sent.data


def test_a_create_request_that_is_too_long_is_refused_without_reading_it():
    head = request("POST /containers/create", f"Content-Length: {CREATE_LIMIT + 1}")
    book = open_playbook().client(head, StartTimer(60)).client(bytes(SMALL_BODY))
    book.client(b"{", StopTimer(), ToClient(TOO_LONG), Close())
    assert not book.conversation.reads_client


def test_a_create_request_that_grows_too_long_is_refused():
    head = request("POST /containers/create", "Transfer-Encoding: chunked")
    book = open_playbook().client(head, StartTimer(60))
    half = b"%x\r\n" % (CREATE_LIMIT + 1) + bytes(CREATE_LIMIT // 2)
    book.client(half, StopTimer(), Ask(Hold(CREATE_LIMIT))).done(None, StartTimer(60))
    book.client(bytes(CREATE_LIMIT // 2)).client(b"{", StopTimer(), ToClient(TOO_LONG), Close())


TOO_LONG = refusal(
    "413 Request Entity Too Large",
    f"the body of this request is longer than {CREATE_LIMIT} bytes",
    closes=True,
)
LONG = b'{"Labels":"' + b"x" * 2 * SMALL_BODY + b'"}'


def test_calls_are_counted_one_by_one_also_those_that_come_at_once():
    book = open_playbook()
    before = book.conversation.calls
    book.client(PING + PING[:5], ToEngine(PING)).engine(PONG, ToClient(PONG), StartTimer(30))
    assert book.conversation.calls == before + 1
    book.client(PING[5:] + PING, StopTimer(), ToEngine(PING)).engine(
        PONG, ToClient(PONG), ToEngine(PING)
    )
    assert book.conversation.calls == before + 3


def begun_long(book: Playbook) -> Playbook:
    """A create request of which the first half has come."""
    head = request("POST /containers/create", f"Content-Length: {len(LONG)}")
    book.client(head, StartTimer(60))
    return book.client(LONG[: len(LONG) // 2 + 9], StopTimer(), Ask(Hold(len(LONG))))


def test_a_long_create_request_waits_for_room_and_leaves_it_when_the_engine_has_it():
    book = begun_long(open_playbook())
    book.client(LONG[len(LONG) // 2 + 9 :]).client(PING)
    assert not book.conversation.reads_client
    (ask,) = book.conversation.receive(Done())
    book.done(computed(ask), ToEngine(request("POST /containers/create", body=LONG)))
    book.engine(CREATED, ToClient(CREATED), Free(), ToEngine(PING))


def test_a_long_create_request_for_which_there_is_no_room_is_refused():
    said = refusal("503 Service Unavailable", "full; wait", closes=True)
    report = Report("POST /containers/create", "503: full; wait")
    book = begun_long(open_playbook())
    error = errors.DeadlineExceeded("full", hint="wait")
    book.when(Done(error=error), report, ToClient(said), Close())


def test_a_client_that_goes_away_while_it_waits_for_room_is_forgotten():
    begun_long(open_playbook()).when(ClientGone(), Close()).done(None)


def test_a_create_request_that_does_not_come_is_given_up():
    head = request("POST /containers/create", "Content-Length: 9")
    book = open_playbook().client(head, StartTimer(60))
    late = refusal("408 Request Timeout", "the request did not come within 60 seconds", closes=True)
    book.when(TimeUp(), StopTimer(), ToClient(late), Close())


def test_a_client_that_goes_away_after_create_was_sent_has_its_addresses_reserved():
    """The engine may have made the container: the reservation must not depend on who listens."""
    book = created(open_playbook()).when(ClientEof(), HalfCloseEngine()).when(ClientGone())
    book.engine(CREATED, Ask(Reserve("f00d", WISH)))
    report = Report("POST /v1.41/containers/create", "reserved the addresses of f00d")
    book.done(None, report, ToClient(CREATED), Close())


def test_a_client_that_goes_away_before_create_was_sent_creates_nothing():
    create = request("POST /containers/create", body=OURS)
    book = open_playbook().client(create, Ask(Check(WISH))).when(ClientGone(), Close())
    book.when(Done())


def test_a_long_create_request_is_read_where_nobody_waits_for_it():
    long = OURS[:-1] + b',"Labels":{"a":"' + b"x" * SMALL_BODY + b'"}}'
    book = open_playbook()
    (ask,) = book.conversation.receive(ClientBytes(request("POST /containers/create", body=long)))
    assert computed(ask) == WISH
    book.done(computed(ask), Ask(Check(WISH)))
    (ask,) = book.conversation.receive(Done())
    assert b'"none"' in computed(ask)
    book.done(b"{}", ToEngine(request("POST /containers/create", body=b"{}")))


def computed(command: Command) -> Any:
    assert isinstance(command, Ask)
    assert isinstance(command.question, Compute)
    return command.question.work()


# Start and restart

START = request("POST /containers/web/start")


def ours_asked_for(start: bytes = START) -> Playbook:
    """A container of ours shall start: the engine has not heard of it yet."""
    unless_running = b"/start " in start
    book = open_playbook().client(start, Ask(Identify("web")))
    return book.done("f00d", Ask(AwaitAgent("f00d", unless_running)))


def ours_started() -> Playbook:
    """The engine has started a container of ours."""
    return ours_asked_for().done(None, ToEngine(START)).engine(STARTED, Ask(Connect("f00d")))


@pytest.mark.parametrize("verb", ["start", "restart"])
def test_the_answer_to_start_is_held_until_the_network_works(verb):
    start = request(f"POST /v1.41/containers/w%65b/{verb}")
    book = ours_asked_for(start).done(None, ToEngine(start)).engine(STARTED, Ask(Connect("f00d")))
    book.done(None, ToClient(STARTED)).client(PING, ToEngine(PING))


@pytest.mark.parametrize("verb", ["start", "restart"])
def test_without_the_agent_a_container_of_ours_is_not_even_started(verb):
    line = f"POST /containers/web/{verb}"
    book = ours_asked_for(request(line))
    book.when(
        Done(error=errors.DeadlineExceeded("no agent", hint="start it")),
        Report(line, "504: no agent; start it"),
        ToClient(refusal("504 Gateway Timeout", "no agent; start it")),
    )
    book.client(PING, ToEngine(PING))


def test_a_client_that_goes_away_while_the_agent_is_waited_for_starts_nothing():
    ours_asked_for().when(ClientGone(), Close()).done(None)


def test_a_container_of_others_is_started_without_asking_the_agent():
    book = open_playbook().client(START, Ask(Identify("web"))).done(None, ToEngine(START))
    book.engine(STARTED, Ask(Identify("web")))
    book.done(None, ToClient(STARTED)).client(PING, ToEngine(PING))


@pytest.mark.parametrize("error", [None, errors.DockerUnavailable("Docker is away")])
def test_a_container_that_is_ours_only_when_it_has_started_is_connected_too(error):
    book = open_playbook().client(START, Ask(Identify("web")))
    book.when(Done(None, error), ToEngine(START)).engine(STARTED, Ask(Identify("web")))
    book.done("f00d", Ask(Connect("f00d"))).done(None, ToClient(STARTED))


def test_an_engine_that_does_not_tell_whose_container_was_started_is_the_answer():
    book = open_playbook().client(START, Ask(Identify("web"))).done(None, ToEngine(START))
    book.engine(STARTED, Ask(Identify("web")))
    said = book.told(Done(error=errors.DockerUnavailable("Docker is away")))
    assert said == refusal("503 Service Unavailable", "Docker is away")


@pytest.mark.parametrize("status", ["304 Not Modified", "404 Not Found", "409 Conflict"])
def test_nothing_is_connected_that_the_engine_did_not_start(status):
    said = answer(status, "Content-Length: 0")
    ours_asked_for().done(None, ToEngine(START)).engine(said, ToClient(said))


HOST = b'{"Binds":["a:b"],"NetworkMode":"host"}'


def test_an_old_client_that_names_a_network_at_start_gets_none_for_a_container_of_ours():
    start = request("POST /v1.20/containers/web/start", body=HOST)
    book = open_playbook().client(start, Ask(Wishes("web"))).done(True, Ask(Identify("web")))
    book.done("f00d", Ask(AwaitAgent("f00d", True))).done(None, CreateSent())
    book.engine(STARTED, Ask(Connect("f00d"))).done(None, ToClient(STARTED))


@pytest.mark.parametrize("error", [None, errors.DockerError("no")])
def test_an_old_client_may_name_a_network_at_start_for_any_other_container(error):
    start = request("POST /v1.23/containers/web/start", body=HOST)
    book = open_playbook().client(start, Ask(Wishes("web")))
    book.when(Done(False, error), Ask(Identify("web"))).done(None, ToEngine(start))


def test_an_old_client_that_publishes_ports_at_start_is_refused_for_a_container_of_ours():
    body = b'{"PortBindings":{"80/tcp":[{}]}}'
    start = request("POST /v1.20/containers/web/start", body=body)
    book = open_playbook().client(start, Ask(Wishes("web")))
    said = book.told(Done(True))
    assert said.startswith(b"HTTP/1.1 400 ")
    assert b"published ports" in said
    book.client(PING, ToEngine(PING))


@pytest.mark.parametrize("body", [b"{}", b"null", b"{", b'{"Image":"i"}', b'{"HostConfig":null}'])
def test_a_start_request_that_sets_nothing_passes(body):
    start = request("POST /v1.20/containers/web/start", body=body)
    book = open_playbook().client(start, Ask(Identify("web"))).done(None, ToEngine(start))
    book.engine(STARTED, Ask(Identify("web")))


def test_what_the_engine_reads_no_host_config_from_passes():
    start = request("POST /v1.24/containers/web/start", body=HOST)
    open_playbook().client(start, Ask(Identify("web"))).done(None, ToEngine(start))
    start = request("POST /v1.20/exec/1/start", body=HOST)
    open_playbook().client(start, ToEngine(start))


@pytest.mark.parametrize("version", ["", "/v1.0000000020"])
def test_a_start_request_of_an_odd_version_is_looked_at(version):
    start = request(f"POST {version}/containers/web/start", body=HOST)
    open_playbook().client(start, Ask(Wishes("web")))


def test_a_network_that_fails_is_told_in_the_answer_to_start():
    book = ours_started()
    book.when(
        Done(error=errors.DeadlineExceeded("the agent does not answer")),
        Report("POST /containers/web/start", "504: the agent does not answer"),
        ToClient(refusal("504 Gateway Timeout", "the agent does not answer")),
    )
    book.client(PING, ToEngine(PING))


def test_a_client_that_goes_away_after_start_was_sent_has_its_container_connected():
    book = ours_asked_for().done(None, ToEngine(START))
    book.when(ClientEof(), HalfCloseEngine()).when(ClientGone())
    book.engine(STARTED, Ask(Connect("f00d"))).done(None, ToClient(STARTED), Close())


def test_an_engine_that_ends_the_connection_while_the_network_is_made_is_told_afterwards():
    book = ours_started()
    book.when(EngineEof()).done(None, ToClient(STARTED), Close())


# Remove


def test_what_a_removed_container_had_is_released_before_the_client_has_the_answer():
    remove = request("DELETE /containers/web?force=1")
    book = open_playbook().client(remove, Ask(Identify("web"))).done("f00d", ToEngine(remove))
    book.engine(STARTED, Ask(Release("f00d")))
    report = Report("DELETE /containers/web", "released the addresses of f00d")
    book.done(None, report, ToClient(STARTED))


def test_removing_a_container_that_is_not_ours_passes():
    remove = request("DELETE /containers/web")
    book = open_playbook().client(remove, Ask(Identify("web"))).done(None, ToEngine(remove))
    book.engine(STARTED, ToClient(STARTED))


def test_the_engine_speaks_where_nobody_knows_what_is_removed():
    remove = request("DELETE /containers/web")
    book = open_playbook().client(remove, Ask(Identify("web")))
    book.when(Done(error=errors.DockerError("no")), ToEngine(remove))
    book.engine(STARTED, ToClient(STARTED))


def test_a_release_that_fails_is_logged_and_the_engines_answer_counts():
    remove = request("DELETE /containers/web")
    book = open_playbook().client(remove, Ask(Identify("web"))).done("f00d", ToEngine(remove))
    book.engine(STARTED, Ask(Release("f00d")))
    report = Report("DELETE /containers/web", "removed, but not released: etcd is ill")
    book.when(Done(error=errors.DatastoreError("etcd is ill")), report, ToClient(STARTED))


def test_what_a_removed_container_had_is_released_though_the_client_has_gone():
    remove = request("DELETE /containers/web")
    book = open_playbook().client(remove, Ask(Identify("web"))).done("f00d", ToEngine(remove))
    book.when(ClientGone(), HalfCloseEngine()).engine(STARTED, Ask(Release("f00d")))
    report = Report("DELETE /containers/web", "released the addresses of f00d")
    book.done(None, report, ToClient(STARTED), Close())


def test_nothing_is_released_if_nothing_was_removed():
    remove, said = request("DELETE /containers/web"), answer("409 Conflict", "Content-Length: 0")
    book = open_playbook().client(remove, Ask(Identify("web"))).done("f00d", ToEngine(remove))
    book.engine(said, ToClient(said))


# Networks of Docker's

JOIN = request("POST /networks/mine/connect", body=b'{"Container":"web"}')
NO_OTHER = answer(
    "400 Bad Request",
    "Content-Type: application/json",
    body=b'{"message":"multiple networks with one of the networks in private (none) mode"}\n',
)


def test_a_container_of_ours_joins_a_network_in_vain_and_that_is_no_error():
    book = open_playbook().client(JOIN, ToEngine(JOIN)).engine(NO_OTHER, Ask(Identify("web")))
    report = Report("POST /networks/mine/connect", "f00d stays without a network of Docker's")
    book.done("f00d", report, ToClient(answer("200 OK", "Content-Length: 0")))
    book.client(PING, ToEngine(PING))


def test_another_container_without_a_network_is_told_what_the_engine_says():
    book = open_playbook().client(JOIN, ToEngine(JOIN)).engine(NO_OTHER, Ask(Identify("web")))
    book.done(None, ToClient(NO_OTHER))


@pytest.mark.parametrize("status", ["404 Not Found", "403 Forbidden", "500 Internal Server Error"])
def test_any_other_failure_to_join_a_network_is_the_engines(status):
    said = answer(status, body=b'{"message":"no such network"}\n')
    open_playbook().client(JOIN, ToEngine(JOIN)).engine(said, ToClient(said))


def test_who_can_join_a_network_joins_it():
    said = answer("200 OK", "Content-Length: 0")
    open_playbook().client(JOIN, ToEngine(JOIN)).engine(said, ToClient(said))


# Inspect and list


def shown(book: Playbook, line: str, *fields: str, body: bytes) -> bytes:
    asked = request(line)
    said = answer("200 OK", *fields, body=body)
    return book.client(asked, ToEngine(asked)).told(EngineBytes(said))


def test_inspect_shows_the_address_and_corrects_the_length():
    book = open_playbook(endpoint={"f00d": ENDPOINT}.get)
    body = b'{"Id":"f00d","NetworkSettings":{"IPAddress":"","Networks":{}}}'
    head, told = shown(book, "GET /v1.41/containers/web/json", "server: Docker", body=body).split(
        b"\r\n\r\n", 1
    )
    assert json.loads(told)["NetworkSettings"]["IPAddress"] == "10.1.2.3"
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 200 OK",
        b"server: Docker",
        b"Content-Length: %d" % len(told),
    ]


def test_list_shows_the_address():
    book = open_playbook(endpoint={"f00d": ENDPOINT}.get)
    body = b'[{"Id":"f00d","NetworkSettings":{"Networks":{}}}]'
    assert b'"10.1.2.3"' in shown(book, "GET /v1.41/containers/json", body=body)


def test_an_answer_in_chunks_is_edited_too():
    book = open_playbook(endpoint={"f00d": ENDPOINT}.get)
    asked = request("GET /v1.41/containers/json")
    said = answer("200 OK", "Transfer-Encoding: chunked")
    said += chunked(b'[{"Id":"f00d",', b'"NetworkSettings":{"Networks":{}}}]')
    told = book.client(asked, ToEngine(asked)).told(EngineBytes(said))
    head, told = told.split(b"\r\n\r\n", 1)
    assert b"Transfer-Encoding" not in head
    assert json.loads(told)[0]["NetworkSettings"]["Networks"]["calico"]


def test_an_answer_that_ends_with_the_connection_is_edited_too():
    book = open_playbook(endpoint={"f00d": ENDPOINT}.get)
    asked = request("GET /v1.41/containers/json")
    said = answer("200 OK") + b'[{"Id":"f00d","NetworkSettings":{"Networks":{}}}]'
    book.client(asked, ToEngine(asked)).engine(said)
    assert b'"10.1.2.3"' in book.told(EngineEof())
    assert book.is_over


@pytest.mark.parametrize("line", ["GET /containers/web/json", "GET /containers/json"])
def test_what_has_no_endpoint_is_shown_byte_for_byte(line):
    asked = request(line)
    said = answer("200 OK", "transfer-encoding: chunked") + chunked(b'{"Id" :', b' "f00d"}')
    open_playbook().client(asked, ToEngine(asked)).engine(said, ToClient(said))


def test_answers_that_will_be_read_are_not_asked_for_in_a_packed_form():
    asked = request("GET /containers/json", "Accept-Encoding: gzip", "Accept: */*")
    open_playbook().client(asked, ToEngine(request("GET /containers/json", "Accept: */*")))


def test_a_long_list_is_edited_where_nobody_waits_for_it():
    book = open_playbook(endpoint={"f00d": ENDPOINT}.get)
    asked = request("GET /containers/json")
    listed = b'[{"Id":"f00d","NetworkSettings":{"Networks":{}},"Image":"%s"}]' % (b"x" * SMALL_BODY)
    book.client(asked, ToEngine(asked))
    (ask,) = book.conversation.receive(EngineBytes(answer("200 OK", body=listed)))
    assert b'"10.1.2.3"' in computed(ask)
    book.done(b"[]", ToClient(answer("200 OK", body=b"[]"))).client(PING, ToEngine(PING))


def test_an_answer_in_a_packed_form_passes():
    book = open_playbook(endpoint={"f00d": ENDPOINT}.get)
    asked = request("GET /containers/json")
    said = answer("200 OK", "Content-Encoding: gzip", body=b'[{"Id":"f00d"}]')
    book.client(asked, ToEngine(asked)).engine(said, ToClient(said))


def test_an_answer_that_breaks_off_while_it_is_read_breaks_off_for_the_client_too():
    asked = request("GET /containers/json")
    part = answer("200 OK", "Content-Length: 9") + b"[{"
    book = open_playbook().client(asked, ToEngine(asked)).engine(part)
    book.when(EngineEof(), ToClient(part), Close())


# Beginning and end


def test_an_engine_that_is_not_there_is_told_and_tried_again():
    book = Playbook().client(PING, OpenEngine())
    book.when(EngineRefused("no engine"), ToClient(refusal("502 Bad Gateway", "no engine")))
    book.client(PING, OpenEngine()).opened(ToEngine(PING)).engine(PONG, ToClient(PONG))


def test_requests_sent_ahead_are_not_lost_if_the_engine_is_not_there():
    book = Playbook().client(PING + PING, OpenEngine())
    told = ToClient(refusal("502 Bad Gateway", "no engine"))
    book.when(EngineRefused("no engine"), told, OpenEngine())
    book.opened(ToEngine(PING))


def test_an_answer_to_head_has_no_body_even_if_it_is_ours():
    book = Playbook().client(request("HEAD /_ping"), OpenEngine())
    said = refusal("502 Bad Gateway", "no engine")
    book.when(EngineRefused("no engine"), ToClient(said.split(b"{")[0]))


def test_a_body_is_awaited_until_it_is_all_there():
    build = request("POST /build", "Content-Length: 4")
    book = open_playbook().client(build + b"ab", ToEngine(build), ToEngine(b"ab"))
    assert book.conversation.awaits_body
    book.client(b"cd", ToEngine(b"cd"))
    assert not book.conversation.awaits_body


def test_the_body_of_a_request_that_cannot_be_passed_on_is_skipped():
    build = request("POST /build", "Content-Length: 4")
    book = Playbook().client(build + b"ab", OpenEngine())
    book.when(EngineRefused("no"), ToClient(refusal("502 Bad Gateway", "no")))
    book.client(b"cd" + PING, OpenEngine())


def test_a_body_that_is_too_long_to_skip_ends_the_connection():
    build = request("POST /build", "Content-Length: 999999")
    book = Playbook().client(build, OpenEngine())
    book.when(EngineRefused("no"), ToClient(refusal("502 Bad Gateway", "no")))
    book.client(bytes(300_000), Close())


def test_a_client_that_waits_for_a_word_is_not_waited_for_after_a_refusal():
    build = request("POST /build", "Expect: 100-continue", "Content-Length: 4")
    book = Playbook().client(build, OpenEngine())
    said = refusal("502 Bad Gateway", "no", closes=True)
    book.when(EngineRefused("no"), ToClient(said), Close())


def test_a_request_for_another_host_is_refused():
    asked = b"GET /_ping HTTP/1.1\r\nHost: evil.example\r\n\r\n"
    told = "the request is for the host 'evil.example', which is not this proxy"
    Playbook().client(asked, ToClient(refusal("403 Forbidden", told, closes=True)), Close())


def test_http2_is_passed_through_unseen():
    book = Playbook().client(HTTP2_PREFACE + b"frames", OpenEngine())
    book.opened(ToEngine(HTTP2_PREFACE + b"frames"), Tunnel())
    assert book.is_over


def test_the_beginning_of_http2_is_waited_for_but_not_for_ever():
    book = Playbook().client(HTTP2_PREFACE[:5], StartTimer(30))
    book.client(HTTP2_PREFACE[5:], StopTimer(), OpenEngine())
    late = refusal("408 Request Timeout", "the request did not come within 30 seconds", closes=True)
    book = Playbook().client(HTTP2_PREFACE[:5], StartTimer(30))
    book.when(TimeUp(), StopTimer(), ToClient(late), Close())


def test_http2_in_the_middle_of_a_connection_is_refused():
    told = refusal(
        "505 HTTP Version Not Supported", "only HTTP/1.0 and HTTP/1.1 are spoken here", closes=True
    )
    open_playbook().client(HTTP2_PREFACE, ToClient(told), Close())


def test_headers_have_to_come_in_time_but_an_idle_connection_may_stay():
    book = open_playbook().client(PING[:-2], StartTimer(30)).client(PING[-2:-1])
    book.client(PING[-1:], StopTimer(), ToEngine(PING))


def test_an_engine_that_goes_while_the_connection_is_idle_takes_it_along():
    open_playbook().when(EngineEof(), Close())


def test_a_client_that_goes_while_the_connection_is_idle_takes_it_along():
    open_playbook().when(ClientEof(), Close())


def test_an_engine_that_speaks_unasked_is_not_trusted_any_more():
    open_playbook().engine(PONG, Close())


def test_after_a_mistake_of_ours_the_client_is_told_and_only_once():
    book = open_playbook().client(PING, ToEngine(PING))
    told = refusal(
        "500 Internal Server Error",
        "the proxy failed on this request; its log says more",
        closes=True,
    )
    assert book.conversation.fail() == [ToClient(told), Close()]
    assert book.conversation.receive(EngineOpened()) == []


def test_after_a_mistake_of_ours_in_the_middle_of_an_answer_the_connection_just_ends():
    book = open_playbook().client(PING, ToEngine(PING)).engine(PONG[:-1], ToClient(PONG[:-1]))
    assert book.conversation.fail() == [Close()]
