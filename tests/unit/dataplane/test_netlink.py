"""Messages and attributes, from and to bytes."""

import errno
import struct

import pytest

from calico_ctl.dataplane import netlink
from calico_ctl.dataplane.netlink import KernelRefused, Message, Netlink


def test_a_message_is_written_with_its_length_and_filled_up():
    assert netlink.message(18, 5, 7, b"abc") == struct.pack("=IHHII", 19, 18, 5, 7, 0) + b"abc\0"


def test_what_one_read_gave_is_taken_apart():
    received = netlink.message(18, 2, 7, b"abcde") + netlink.message(3, 0, 7, b"")
    assert list(netlink.messages(received)) == [
        Message(18, 2, 7, 0, b"abcde"),
        Message(3, 0, 7, 0, b""),
    ]


def test_an_attribute_is_written_with_its_length_and_filled_up():
    assert netlink.attribute(3, b"abcde") == b"\x09\0\x03\0abcde\0\0\0"


def test_attributes_nest():
    inner = netlink.attribute(1, b"ab") + netlink.attribute(2, b"")
    outer = netlink.nested(9, netlink.attribute(1, b"ab"), netlink.attribute(2, b""))
    assert outer == struct.pack("=HH", 4 + len(inner), 9 | 0x8000) + inner
    assert netlink.attributes(outer) == {9: inner}
    assert netlink.attributes(inner) == {1: b"ab", 2: b""}


def test_attributes_are_read_from_behind_a_header():
    assert netlink.attributes(b"head" + netlink.attribute(1, b"x"), 4) == {1: b"x"}


def test_of_two_attributes_of_one_kind_the_last_counts_unless_both_are_asked_for():
    both = netlink.attribute(1, b"first") + netlink.attribute(1, b"last")
    assert netlink.attributes(both) == {1: b"last"}
    assert list(netlink.each_attribute(both)) == [(1, b"first"), (1, b"last")]


def test_a_broken_length_ends_the_attributes():
    broken = netlink.attribute(1, b"x") + bytes(8)
    assert netlink.attributes(broken) == {1: b"x"}
    assert list(netlink.each_attribute(broken)) == [(1, b"x")]


def test_a_name_ends_with_a_zero_byte():
    assert netlink.name("cali1") == b"cali1\0"
    assert netlink.text(b"cali1\0\0") == "cali1"


def test_a_number_is_in_the_byte_order_of_the_machine():
    assert netlink.number(1 << 31) == struct.pack("I", 1 << 31)
    assert netlink.read_number(netlink.number(7)) == 7


def test_an_error_carries_its_number_and_says_what_it_means():
    answer = Message(2, 0, 7, 0, struct.pack("=i", -errno.ENODEV))
    assert netlink.error_number(answer) == errno.ENODEV
    error = KernelRefused("route 10.0.0.1", errno.ENODEV)
    assert str(error) == "the kernel refused to route 10.0.0.1: no such device"
    assert error.number == errno.ENODEV


def test_a_protocol_that_the_kernel_was_built_without_is_an_error_of_the_kernels():
    with pytest.raises(KernelRefused, match="open a netlink socket of protocol 31: ") as caught:
        Netlink(31)
    assert caught.value.number == errno.EPROTONOSUPPORT
