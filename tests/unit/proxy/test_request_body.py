"""A request's body comes out of its framing, or is refused, however its bytes come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calico_ctl.proxy.request_body import LINE_LIMIT, ChunkedBody, CountedBody, Malformed
from tests.support.playbook import chunked


def test_a_counted_body_takes_its_bytes_and_no_more():
    body = CountedBody(5)
    assert (body.take(b"abc"), body.is_over) == (([memoryview(b"abc")], 3), False)
    assert (body.take(b"defg"), body.is_over) == (([memoryview(b"de")], 2), True)
    assert CountedBody(0).is_over


@given(
    st.lists(st.binary(min_size=1, max_size=20), max_size=5),
    st.lists(st.integers(1, 9), min_size=1),
)
def test_chunks_are_taken_up_to_the_line_of_the_last(pieces, cuts):
    raw = chunked(*pieces)
    body, contents, position = ChunkedBody(), b"", 0
    while not body.is_over:
        found, used = body.take(raw[position : position + cuts[position % len(cuts)]])
        contents += b"".join(found)
        position += used
    assert contents == b"".join(pieces)
    assert raw[position:] == b"\r\n"


def test_extensions_are_passed_over_and_sizes_may_be_written_long():
    body = ChunkedBody()
    raw = b"0003 ;a=b\r\nabc\r\n0;last\r\n"
    (piece,), used = body.take(raw + b"\r\n")
    assert bytes(piece) == b"abc"
    assert (used, body.is_over) == (len(raw), True)


@pytest.mark.parametrize(
    "raw",
    [
        b"\r\n",
        b"x\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"0x1\r\n",
        b"1_0\r\n",
        b" 1\r\n",
        b"1 \r\n",
        b"1\n",
        b"1;a\rb\r\n",
        b"1;a\0\r\n",
        b"1;\n\r\n",
        b"1" * 17 + b"\r\n",
        b"1\r\nab",
        b"1\r\na\n",
        b"1\r\na\rb",
    ],
)
def test_what_another_reader_could_take_for_something_else_is_refused(raw):
    with pytest.raises(Malformed):
        ChunkedBody().take(raw)


@pytest.mark.parametrize("step", [1, 1000, LINE_LIMIT * 2])
def test_a_line_that_is_too_long_is_refused_however_it_comes(step):
    raw = b"1;" + b"x" * LINE_LIMIT + b"\r\n"
    body = ChunkedBody()
    with pytest.raises(Malformed):
        take_all(body, raw, step)


def take_all(body: ChunkedBody, raw: bytes, step: int) -> None:
    for start in range(0, len(raw), step):
        body.take(raw[start : start + step])


def test_a_line_that_is_not_whole_is_unread():
    body = ChunkedBody()
    body.take(b"2\r\nab\r\n3")
    assert body.unread == b"3"
    assert CountedBody(3).unread == b""
