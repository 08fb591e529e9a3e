"""Calls that are not ours: a real engine answers directly and through the proxy byte for byte.

Set aside is only what changes by itself: the header Date, how long containers have been up, and,
where things are made anew, ids, times and counts of the moment.
"""

import io
import json
import re
import tarfile
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.differential import (
    FOREVER,
    Both,
    ageless,
    alike,
    chunked,
    heard,
    new_name,
)
from tests.support.engine import IMAGE
from tests.support.wire import Answer, Wire

TAR = {"Content_Type": "application/x-tar"}


@pytest.fixture(scope="module")
def named(both: Both) -> Iterator[str]:
    """A container that runs."""
    with both.running("sleep", "1000", Hostname="web") as name:
        yield name


def archive(**files: bytes) -> bytes:
    with io.BytesIO() as stream:
        with tarfile.open(fileobj=stream, mode="w") as made:
            for name, content in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                made.addfile(entry, io.BytesIO(content))
        return stream.getvalue()


@pytest.mark.parametrize(
    "request_line",
    [
        "GET /_ping",
        "HEAD /_ping",
        "OPTIONS /_ping",
        "GET /version",
        "GET /v1.24/version",
        "GET /v9.99/version",
        "GET /v1.4.1/version",
        "GET /v/version",
        "GET /images/json",
        f"GET /images/{IMAGE}/json",
        f"GET /v1.41/images/{IMAGE}/history",
        f"GET /images/{IMAGE}/get",
        "GET /volumes",
        "GET /containers/json",
        "GET /containers/json?all=1&size=1",
        "GET /v1.41/containers/json?filters=%7B%22name%22%3A%5B%22NAME%22%5D%7D",
        "GET /v1.20/containers/json",
        "GET /containers/json?filters=nonsense",
        "HEAD /containers/json",
        "GET /%63ontainers/json",
        "GET /containers%2Fjson",
        "GET /containers/json%3Fall=1",
        "GET //containers/json",
        "GET /containers//json",
        "GET /containers/../containers/json",
        "GET /containers/./json",
        "GET /Containers/json",
        "GET /containers/json/",
        "GET http://somewhere/containers/json",
        "GET http://somewhere/_ping?a=b#c",
        "GET /containers/NAME/json",
        "GET /v1.41/containers/NAME/json?size=1",
        "GET /v1.20/containers/NAME/json",
        "GET /v1.12/containers/NAME/json",
        "HEAD /containers/NAME/json",
        "GET /containers/%4eothing/json",
        "GET /containers/a/b/json",
        "GET /containers/no-such/json",
        "GET /containers/NAME/top?ps_args=-o%20pid,args",
        "GET /containers/NAME/changes",
        "GET /containers/NAME/logs?stdout=1",
        "GET /containers/NAME/logs",
        "GET /containers/NAME/export",
        "GET /containers/NAME/archive?path=/etc/passwd",
        "HEAD /containers/NAME/archive?path=/etc/passwd",
        "GET /containers/NAME/archive?path=/no-such",
        "GET /containers/NAME/nothing",
        "POST /containers/NAME/start",
        "POST /containers/no-such/start",
        "POST /containers/no-such/restart",
        "POST /containers/no-such/attach",
        "POST /containers/NAME/unpause",
        "POST /containers/NAME/json",
        "DELETE /containers/no-such",
        "DELETE /containers/NAME",
        "DELETE /containers/",
        "POST /containers/create",
        "GET /containers/create",
        "POST /session",
        "POST /exec/no-such/start",
        "GET /exec/no-such/json",
        "PATCH /anything",
        "GET /",
        "GET *",
    ],
)
def test_a_call_is_answered_alike(both, named, request_line):
    request = request_line.replace("NAME", named)
    both.same(lambda connection: heard(connection.ask(request)))


@pytest.mark.parametrize(
    "request_line",
    [
        "GET /info",
        "GET /networks",
        "GET /system/df",
        "GET /containers/NAME/stats?stream=0",
    ],
)
def test_answers_about_the_moment_or_in_any_order_are_of_one_kind(both, named, request_line):
    request = request_line.replace("NAME", named)

    def talk(connection: Wire) -> list[bytes]:
        answer = connection.ask(request)
        return [alike(answer.undated), re.sub(rb'\d+|"SystemTime":"[^"]*"', b"", answer.body)]

    direct, through = both.hear(talk)
    assert direct[0] == through[0]
    assert len(direct[1]) == pytest.approx(len(through[1]), rel=0.05)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"{}",
        b'{"Image":5}',
        b'{"Env":"CALICO_IP=auto"}',
        b'{"Env":["CALICO_IP=auto"],"HostConfig":[]}',
        b'{"Image":"no-such","Env":["A=\xff"]}',
        b'{"Image":"no-such","HostConfig":{"NetworkMode":"host","PublishAllPorts":true}}',
        b'{"Image":"no-such","HostConfig":{"Memory":1}}',
        b'{"Image":"no-such","HostConfig":{"RestartPolicy":{"Name":"Always"}}}',
        b"\xff\xfe",
        b"[" * 11_000,
    ],
)
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "Application/JSON; charset=x"])
def test_a_create_request_that_the_engine_refuses_is_refused_alike(both, body, kind):
    def talk(connection: Wire) -> list[bytes]:
        request = "POST /v1.41/containers/create?name=calico-diff-refused"
        return heard(connection.ask(request, body, Content_Type=kind))

    said = both.same(talk)
    assert said[0].split()[1] in {b"400", b"404", b"500"}


@pytest.mark.parametrize(
    "path",
    [
        "/containers/create",
        "/v1.41/containers/create",
        "/%63ontainers/%63reate",
        "/v1.41/containers%2Fcreate",
        "http://somewhere/containers/create",
    ],
)
@pytest.mark.parametrize("way", ["length", "chunks", "trailers", "expect"])
def test_a_container_is_created_alike(both, path, way):
    body = b'{"Image": "%s", "Big": 1E400, "Env":["A=b"]}\n' % IMAGE.encode()

    def talk(connection: Wire) -> list[bytes]:
        name = new_name()
        request = f"POST {path}?name={name}"
        said = heard(create(connection, request, body, way))
        said += [both.ask(f"GET /containers/{name}/json").body]
        return said + heard(connection.ask(f"DELETE /containers/{name}"))

    said = both.same_kind(talk)
    assert said[0].startswith(b"HTTP/1.1 201")


def create(connection: Wire, request: str, body: bytes, way: str) -> Answer:
    kind = {"Content_Type": "application/json"}
    match way:
        case "chunks":
            return connection.ask(request, chunked(body, 7), Transfer_Encoding="chunked", **kind)
        case "trailers":
            sent = chunked(body, 100, b"X-Sum: 1\r\n")
            return connection.ask(
                request, sent, Transfer_Encoding="chunked", Trailer="X-Sum", **kind
            )
        case "expect":
            kind |= {"Expect": "100-continue", "Content_Length": str(len(body))}
            connection.request(request, b"", **kind)
            assert connection.answer().status == 100
            connection.send(body)
            return connection.answer()
        case _:
            return connection.ask(request, body)


def test_a_name_that_is_taken_is_a_conflict(both, named):
    body = json.dumps({"Image": IMAGE}).encode()
    talk = lambda connection: heard(connection.ask(f"POST /containers/create?name={named}", body))  # noqa: E731
    assert both.same_kind(talk)[0].startswith(b"HTTP/1.1 409")


def test_the_life_of_a_container_is_told_alike(both):
    def talk(connection: Wire) -> list[bytes]:
        name = new_name()
        body = json.dumps({"Image": IMAGE, "Cmd": FOREVER, "HostConfig": {"NetworkMode": "none"}})
        requests = [
            (f"POST /containers/create?name={name}", body.encode()),
            (f"POST /containers/{name}/start", b""),
            (f"POST /v1.41/containers/{name}/restart?t=5", b""),
            (f"POST /containers/{name}/pause", b""),
            (f"POST /containers/{name}/unpause", b""),
            (f"POST /containers/{name}/rename?name={name}-2", b""),
            (f"POST /containers/{name}-2/kill?signal=USR1", b""),
            (f"POST /containers/{name}-2/stop?t=5", b""),
            (f"POST /containers/{name}-2/stop", b""),
            (f"POST /containers/{name}-2/wait", b""),
            (f"POST /containers/{name}-2/kill", b""),
            (f"POST /containers/{name}-2/update", b'{"Memory":104857600}'),
            (f"POST /commit?container={name}-2&repo=calico-diff", b"{}"),
            ("DELETE /images/calico-diff", b""),
            (f"DELETE /containers/{name}-2", b""),
            (f"DELETE /containers/{name}-2", b""),
        ]
        return [part for request, body in requests for part in heard(connection.ask(request, body))]

    both.same_kind(talk)


def test_files_are_copied_alike(both, named):
    first, second = archive(one=b"1" * 100_000), archive(two=b"2")
    put = f"PUT /containers/{named}/archive?path=/tmp"

    def talk(connection: Wire) -> list[bytes]:
        said = heard(connection.ask(put, chunked(first, 4096), Transfer_Encoding="chunked", **TAR))
        said += heard(connection.ask(put, second, **TAR))
        waiting = {"Expect": "100-continue", "Content_Length": str(len(second))}
        connection.request(put, b"", **TAR, **waiting)
        said.append(connection.answer().head)
        connection.send(second)
        said += heard(connection.answer())
        for name in ("one", "two"):
            target = f"/containers/{named}/archive?path=/tmp/{name}"
            said += heard(connection.ask(f"HEAD {target}")) + heard(connection.ask(f"GET {target}"))
        return said + heard(connection.ask(put, b"no archive", **TAR))

    said = both.same_kind(talk)
    assert b"1" * 100_000 in b"".join(said)


def test_a_build_is_told_alike(both):
    steps = b"FROM %s\nRUN echo one\nRUN echo two >&2\nCOPY big /\n" % IMAGE.encode()
    context = archive(Dockerfile=steps, big=bytes(300_000))
    request = "POST /v1.41/build?nocache=1&networkmode=none&rm=1&t=calico-diff-built"

    def talk(connection: Wire) -> list[bytes]:
        sent = chunked(context, 32_768)
        said = heard(connection.ask(request, sent, Transfer_Encoding="chunked", **TAR))
        both.ask("DELETE /images/calico-diff-built?force=1")
        return said

    assert b"Successfully tagged" in b"".join(both.same_kind(talk))


def test_images_are_saved_loaded_and_imported_alike(both):
    saved = both.same(lambda connection: heard(connection.ask(f"GET /images/{IMAGE}/get")))[1]
    assert len(saved) > 500_000

    def load(connection: Wire) -> list[bytes]:
        sent = chunked(saved, 65_536)
        return heard(connection.ask("POST /images/load", sent, Transfer_Encoding="chunked", **TAR))

    def import_one(connection: Wire) -> list[bytes]:
        target = "POST /images/create?fromSrc=-&repo=calico-diff-imported"
        said = heard(connection.ask(target, archive(one=b"1"), **TAR))
        return said + heard(connection.ask("DELETE /images/calico-diff-imported"))

    assert b"Loaded image" in b"".join(both.same(load))
    both.same_kind(import_one)


def test_what_follows_at_once_is_answered_in_order(both, named):
    lines = ["GET /_ping", "GET /containers/json", "HEAD /_ping", f"GET /containers/{named}/json"]

    def talk(connection: Wire) -> list[bytes]:
        connection.send(
            "".join(f"{each} HTTP/1.1\r\nHost: localhost\r\n\r\n" for each in lines).encode()
        )
        return [part for each in lines for part in heard(connection.answer("HEAD" in each))]

    both.same(talk)


@pytest.mark.parametrize(
    "target", ["/_ping", "/containers/json", "/containers/NAME/json", "/info", "/no-such"]
)
def test_a_client_of_http_1_0_gets_the_same_contents(both, named, target):
    """Its answer has no chunks and ends with the connection; the engine's may say so otherwise."""

    def talk(connection: Wire) -> list[bytes]:
        connection.send(f"GET {target.replace('NAME', named)} HTTP/1.0\r\n\r\n".encode())
        head, _, body = connection.rest().partition(b"\r\n\r\n")
        assert b"chunked" not in head.lower()
        return [head.split()[1], re.sub(rb"\d+", b"", body) if "info" in target else body]

    direct, through = map(ageless, both.hear(talk))
    assert through[0] == direct[0]
    assert len(through[1]) == len(direct[1])
    if "info" not in target:
        assert through[1] == direct[1]


@pytest.mark.parametrize("host", ["", "Host: localhost", "Host: [::1]:2377", "hOST:127.0.0.1"])
def test_a_connection_ends_when_a_client_asks_for_it(both, host):
    lines = "\r\n".join(["GET /_ping HTTP/1.1", host or "Host: localhost", "Connection: close"])

    def talk(connection: Wire) -> list[bytes]:
        connection.send(f"{lines}\r\n\r\n".encode())
        return heard(Answer(connection.rest(), b""))

    assert b"Connection: close" in both.same(talk)[0]


# What may be said on one connection in any order, and changes nothing: head, fields, body.
_CHUNKS = "Transfer-Encoding: chunked"
_KIND = "Content-Type: application/json"
_CREATE = b'{"Image":"no-such","Env":["A="]}'
_SPOKEN: list[tuple[str, tuple[str, ...], bytes]] = [
    ("GET /_ping", (), b""),
    ("HEAD /_ping", (), b""),
    ("GET /version", ("X-Odd:   a b ", "x-odd:c"), b""),
    ("GET /containers/json?all=1", ("Accept-Encoding: gzip",), b""),
    ("GET /containers/no-such/json", (), b""),
    ("GET /v1.41/images/json", (), b""),
    ("POST /containers/no-such/start", ("Content-Length: 0",), b""),
    ("POST /containers/no-such/kill", (_CHUNKS,), b"3;a=b\r\n{} \r\n0\r\nX-Trailer: 1\r\n\r\n"),
    ("POST /containers/create", (_KIND, f"Content-Length: {len(_CREATE)}"), _CREATE),
    ("POST /containers/create", (_KIND, _CHUNKS), chunked(_CREATE, 5)),
    ("DELETE /containers/no-such", (), b""),
    ("PUT /containers/no-such/archive?path=/", ("Content-Length: 5",), b"hello"),
]
_REQUESTS = [
    "\r\n".join([f"{head} HTTP/1.1", "Host: localhost", *fields, "", ""]).encode() + body
    for head, fields, body in _SPOKEN
]


@settings(max_examples=60, deadline=None, suppress_health_check=[*HealthCheck])
@given(st.lists(st.sampled_from(_REQUESTS), min_size=1, max_size=6), st.data())
def test_any_conversation_in_any_pieces_sounds_the_same(both, requests, data):
    sent = b"".join(requests)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(sent) - 1), max_size=4)))

    def talk(connection: Wire) -> list[bytes]:
        for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
            connection.send(sent[start:end])
        return [
            part for each in requests for part in heard(connection.answer(each.startswith(b"HEAD")))
        ]

    both.same(talk)
