"""Answers of ours look like the engine's."""

import pytest

from calico_ctl import errors
from calico_ctl.proxy import answers
from calico_ctl.proxy.engine_side import Head

HEAD = Head(
    b"",
    200,
    b"Fine",
    [(b"x-a", b"1"), (b"Transfer-Encoding", b"chunked"), (b"X-B", b"2")],
    False,
)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidValue("x", 1, "y"), 400),
        (errors.NoSuchPool("x"), 400),
        (errors.NoGateway("x"), 400),
        (errors.Conflict("x"), 409),
        (errors.AlreadyExists("x"), 409),
        (errors.PoolExhausted("x"), 409),
        (errors.DatastoreUnavailable("x", "y"), 503),
        (errors.DockerUnavailable("x"), 503),
        (errors.DeadlineExceeded("x"), 504),
        (errors.NotFound("x"), 500),
        (errors.CalicoError("x"), 500),
    ],
)
def test_each_error_has_its_status_and_none_makes_a_client_pull_an_image(error, status):
    assert answers.status_of(error) == status


def test_a_message_ends_with_the_hint_if_there_is_one():
    assert answers.message_of(errors.CalicoError("a", hint="b")) == "a; b"
    assert answers.message_of(errors.CalicoError("a")) == "a"


def test_a_log_tells_what_is_invalid_and_not_its_value():
    assert answers.loggable(errors.InvalidValue("CALICO_IP", "s3cret", "x")) == "invalid CALICO_IP"
    assert answers.loggable(errors.CalicoError("a", hint="b")) == "a; b"


def test_a_refusal_is_json_with_its_length():
    said = answers.refusal(409, 'say "no"', closes=False)
    assert said == (
        b"HTTP/1.1 409 Conflict\r\nContent-Type: application/json\r\nContent-Length: 26\r\n\r\n"
        b'{"message": "say \\"no\\""}\n'
    )


def test_a_refusal_tells_that_the_connection_ends():
    assert b"\r\nConnection: close\r\n" in answers.refusal(400, "no", closes=True)


def test_a_refusal_of_head_has_the_length_and_no_body():
    said = answers.refusal(502, "no", closes=False, bodiless=True)
    assert said.endswith(b"\r\nContent-Length: 18\r\n\r\n")


def test_another_body_leaves_the_headers_as_they_were():
    assert answers.with_body(HEAD, b"abc") == (
        b"HTTP/1.1 200 Fine\r\nx-a: 1\r\nContent-Length: 3\r\nX-B: 2\r\n\r\nabc"
    )


def test_an_answer_for_http10_has_no_chunks_and_ends_with_the_connection():
    answer = answers.Http10Answer("GET")
    head = answer.head(HEAD)
    assert b"chunked" not in head
    assert b"Connection: close" in head
    assert answer.data(b"abc") == b"abc"
    assert answer.data(b"") == b""
