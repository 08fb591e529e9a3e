"""The end of an answer's body is found, however its bytes come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calico_ctl.proxy.body_end import Broken, Chunked, Counted, UntilClose
from tests.support.playbook import chunked


def test_a_counted_body_ends_after_its_bytes():
    body = Counted(5)
    assert (body.advance(b"abc"), body.is_over) == (3, False)
    assert not body.closed()
    assert (body.advance(b"defg"), body.is_over) == (2, True)
    assert body.closed()
    assert body.decoded(b"de") == b"de"


def test_an_empty_body_is_over_at_once():
    assert Counted(0).is_over


def test_a_body_without_framing_ends_with_the_connection():
    body = UntilClose()
    assert (body.advance(b"abc"), body.is_over, body.closed()) == (3, False, True)
    assert body.decoded(b"abc") == b"abc"


PIECES = st.lists(st.binary(min_size=1, max_size=20), max_size=5)
TRAILERS = st.sampled_from([(), ("X-T: 1",), ("A: 1", "B: 2")])


@given(PIECES, TRAILERS, st.lists(st.integers(1, 9), min_size=1), st.booleans())
def test_chunks_end_where_they_end_and_say_what_they_say(pieces, trailers, cuts, decodes):
    raw = chunked(*pieces, trailers=trailers)
    following = b"HTTP/1.1 200 OK"
    body, decoded, position = Chunked(decodes=decodes), b"", 0
    while not body.is_over:
        data = (raw + following)[position : position + cuts[position % len(cuts)]]
        used = body.advance(data)
        decoded += body.decoded(data[:used])
        position += used
    assert position == len(raw)
    assert decoded == (b"".join(pieces) if decodes else b"")


def test_extensions_of_chunks_and_bare_newlines_are_passed_over():
    body = Chunked(decodes=True)
    raw = b'3;name="value"\r\nabc\r\n2 \nde\r\n0\r\n\r\n'
    assert body.advance(raw + b"x") == len(raw)
    assert body.decoded(raw) == b"abcde"


@pytest.mark.parametrize("raw", [b"x\r\n", b"\r\n", b"-1\r\n", b"f" * 16 + b"\r\n"])
def test_what_is_no_chunk_is_broken(raw):
    with pytest.raises(Broken):
        Chunked(decodes=False).advance(raw)


def test_a_line_that_does_not_end_is_broken():
    with pytest.raises(Broken):
        Chunked(decodes=False).advance(b"1" * 100_000)


def test_chunks_that_break_off_are_not_whole():
    body = Chunked(decodes=False)
    body.advance(b"3\r\nab")
    assert not body.closed()
