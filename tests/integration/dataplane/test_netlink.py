"""Questions to the kernel: answers, refusals, lists and news."""

import errno
import struct
from collections.abc import Iterator

import pytest
from netaddr import IPAddress

from calico_ctl.dataplane import netlink, rtnetlink
from calico_ctl.dataplane.netlink import ACK, CREATE, REPLACE, KernelRefused, Netlink
from calico_ctl.dataplane.rtnetlink import Route
from tests.support.netns import NetNs, private_netns

pytestmark = pytest.mark.integration

LOOPBACK = 1
# RTM_*
GET_LINK, NEW_ROUTE, DELETE_ROUTE, GET_ROUTE, NEW_NEIGHBOUR, GET_NEIGHBOUR = 18, 24, 25, 26, 28, 30
IPV4_ROUTES = 7
NLM_F_DUMP_INTR = 0x10
ALL_LINKS = struct.pack("=BxHiII", 0, 0, 0, 0, 0)


@pytest.fixture
def host() -> Iterator[NetNs]:
    with private_netns() as namespace, namespace.entered():
        yield namespace


@pytest.fixture
def kernel(host: NetNs) -> Iterator[Netlink]:
    with Netlink(netlink.ROUTE) as kernel:
        yield kernel


def route(last: int, ifindex: int = LOOPBACK) -> bytes:
    to = IPAddress(f"10.0.0.{last}").packed
    return rtnetlink.route_message(Route(to, 32, ifindex, 0, rtnetlink.ON_LINK))


def test_what_was_asked_for_is_done_when_the_call_returns(host, kernel):
    kernel.ask("add a route", NEW_ROUTE, CREATE, route(1))
    assert "10.0.0.1 dev lo" in host.run(["ip", "route"]).out


def test_a_refusal_says_what_and_why_and_the_next_request_is_fine(host, kernel):
    with pytest.raises(KernelRefused, match="refused to add a route: no such device") as refused:
        kernel.ask("add a route", NEW_ROUTE, CREATE, route(1, 77))
    assert refused.value.number == errno.ENODEV
    kernel.ask("add a route", NEW_ROUTE, CREATE, route(1))


def test_a_question_has_one_answer(kernel):
    body = kernel.get("find lo", GET_LINK, struct.pack("=BxHiII", 0, 0, LOOPBACK, 0, 0))
    assert rtnetlink.parse_link(body).name == "lo"
    with pytest.raises(KernelRefused, match="no such device"):
        kernel.get("find nothing", GET_LINK, struct.pack("=BxHiII", 0, 0, 77, 0, 0))


def test_a_list_has_every_item_however_many_reads_it_takes(host, kernel):
    script = "".join(f"link add cali{number} type veth\n" for number in range(40))
    host.run(["ip", "-batch", "-"], stdin=script)
    parts = list(kernel.parts("list the interfaces", GET_LINK, ALL_LINKS))
    assert len(parts) > 2
    bodies = kernel.dump("list the interfaces", GET_LINK, ALL_LINKS)
    assert bodies == [body for part in parts for body in part]
    names = {rtnetlink.parse_link(body).name for body in bodies}
    assert names >= {"lo", *(f"cali{number}" for number in range(40))}


def test_an_empty_list_is_empty(kernel):
    question = struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 254, 80, 0, 0, 0)
    assert kernel.dump("list our routes", GET_ROUTE, question) == []


def test_the_kernel_lists_only_what_was_asked_for(host, kernel):
    kernel.ask("add a route", NEW_ROUTE, CREATE, route(1))
    host.run(["ip", "route", "add", "10.7.0.0/16", "dev", "lo"])
    question = struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 254, 80, 0, 0, 0)
    (body,) = kernel.dump("list our routes", GET_ROUTE, question)
    assert rtnetlink.parse_route(body).destination == IPAddress("10.0.0.1").packed


def test_a_list_that_the_kernel_refuses_is_not_taken_for_an_empty_one(kernel):
    # A length of the source makes no sense in a question; the kernel says so where the list ends.
    question = struct.pack("=BBBBBBBBI", 2, 0, 32, 0, 0, 0, 0, 0, 0)
    with pytest.raises(KernelRefused, match="refused to list routes: invalid argument"):
        kernel.dump("list routes", GET_ROUTE, question)
    assert kernel.dump("list the interfaces", GET_LINK, ALL_LINKS)


def test_a_list_that_changed_while_it_was_read_is_asked_for_again(kernel, monkeypatch):
    unchanged = kernel.dump("list the interfaces", GET_LINK, ALL_LINKS)
    messages, reads = netlink.messages, []
    reads_to_spoil = 1

    def spoiled(received):
        reads.append(received)
        for message in messages(received):
            flags = NLM_F_DUMP_INTR if len(reads) <= reads_to_spoil else 0
            yield message._replace(flags=message.flags | flags)

    monkeypatch.setattr(netlink, "messages", spoiled)
    assert kernel.dump("list the interfaces", GET_LINK, ALL_LINKS) == unchanged
    assert len(reads) > 2
    reads_to_spoil = 1000
    with pytest.raises(KernelRefused, match="interrupted system call"):
        kernel.dump("list the interfaces", GET_LINK, ALL_LINKS)


def test_a_kernel_that_does_not_answer_is_not_waited_for_forever(host, monkeypatch):
    monkeypatch.setattr(netlink, "_PATIENCE", 0.05)
    with Netlink(netlink.ROUTE) as kernel:
        kernel.ask("add a route", NEW_ROUTE, CREATE, route(1))
        # How long news are waited for is for those only.
        assert kernel.news(0) == []
        # Nobody answers a change that was not asked to be acknowledged.
        with pytest.raises(KernelRefused, match="refused to tell: connection timed out"):
            kernel.get("tell", DELETE_ROUTE, route(1))
        assert kernel.dump("list the interfaces", GET_LINK, ALL_LINKS)


def test_many_requests_go_at_once_and_the_first_refusal_is_told(host, kernel):
    words = ["add the first", "add the second", "add the third"].__getitem__
    put = CREATE | REPLACE
    first, third = (NEW_ROUTE, put, route(1)), (NEW_ROUTE, put | ACK, route(3))
    kernel.send_all(words, [first, (NEW_ROUTE, put, route(2)), third])
    assert host.run(["ip", "route"]).out.count("10.0.0.") == 3
    nowhere = (NEW_ROUTE, put, route(4, 77))
    with pytest.raises(KernelRefused, match="add the second") as refused:
        kernel.send_all(words, [first, nowhere, third])
    assert refused.value.number == errno.ENODEV
    # That the third was done is still to be read, and is no answer to what is asked next.
    with pytest.raises(KernelRefused, match="no such process"):
        kernel.ask("delete a route that is not there", DELETE_ROUTE, 0, route(9))


def test_news_are_told_with_whose_request_made_them(host, kernel):
    with Netlink(netlink.ROUTE, [IPV4_ROUTES]) as listener:
        assert listener.news(0) == []
        assert listener.news(0.01) == []
        kernel.ask("add a route", NEW_ROUTE, CREATE, route(1))
        (message,) = listener.news(2) or []
        assert (message.kind, message.port) == (NEW_ROUTE, kernel.port)
        assert rtnetlink.parse_route(message.body).destination == IPAddress("10.0.0.1").packed


def test_news_that_the_kernel_had_to_drop_are_told_as_none(host, kernel):
    with Netlink(netlink.ROUTE, [IPV4_ROUTES], buffer=1) as listener:
        for last in range(100):
            kernel.ask("add a route", NEW_ROUTE, CREATE, route(last))
        assert None in [listener.news(0) for _ in range(100)]
