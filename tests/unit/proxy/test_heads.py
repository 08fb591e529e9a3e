"""Where a head ends, and how lists of fields are changed."""

from calico_ctl.proxy import heads

FIELDS = [(b"Host", b"x"), (b"X-A", b"1"), (b"x-a", b"2, Three")]


def test_a_head_ends_after_its_first_empty_line():
    assert heads.end(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nbody") == 27
    assert heads.end(b"GET / HTTP/1.1\nHost: x\n\nbody") == 24
    assert heads.end(b"\r\nGET") == 2
    assert heads.end(b"GET / HTTP/1.1\r\nHost: x\r\n") is None


def test_an_end_that_comes_in_two_pieces_is_found():
    text = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    for cut in range(len(text)):
        assert heads.end(text[:cut]) is None
        assert heads.end(text, cut) == len(text)


def test_values_and_words_are_found_whatever_the_case_of_the_name():
    assert heads.values(FIELDS, b"x-a") == ["1", "2, Three"]
    assert heads.words(FIELDS, b"x-a") == {"1", "2", "three"}


def test_fields_are_left_out_by_name():
    assert heads.without(FIELDS, b"x-a") == [(b"Host", b"x")]


def test_the_new_length_stands_where_the_old_framing_stood():
    fields = [(b"A", b"1"), (b"transfer-encoding", b"chunked"), (b"Trailer", b"X"), (b"B", b"2")]
    assert heads.with_length(fields, 7) == [(b"A", b"1"), (b"Content-Length", b"7"), (b"B", b"2")]


def test_a_length_is_added_where_none_was_told():
    assert heads.with_length([(b"A", b"1")], 7) == [(b"A", b"1"), (b"Content-Length", b"7")]
