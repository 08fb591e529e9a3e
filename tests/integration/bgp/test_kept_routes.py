"""Routers that restart at the same moment: none takes what the others have out of its kernel.

What runs is what the service of BIRD in calico-node runs, in its order.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.support import command, route_watch, routers
from tests.support.paths import CHECKOUT
from tests.support.route_watch import RouteWatch
from tests.support.routers import Router, Site, eventually

SERVICE = CHECKOUT / "calico_node/service/bird"
NUMBERS = (1, 2, 3)


def blocks(number: int) -> tuple[str, str]:
    """The blocks of a host, which it announces as a whole."""
    return f"10.65.{number}.0/26", f"fd80:7::{number}00/122"


def lent(number: int) -> tuple[str, str]:
    """The addresses that it has of blocks of nobody here, and announces one by one."""
    return f"10.65.9.{number}", f"fd80:7::90{number}"


@pytest.fixture
def three(site: Site) -> list[Router]:
    """Hosts that have all routes to each other."""
    values = routers.host_keys(*NUMBERS)
    for number in NUMBERS:
        host = f"/calico/ipam/v2/host/h{number}"
        for version, block in zip((4, 6), blocks(number), strict=True):
            values[f"{host}/ipv{version}/block/{block.replace('/', '-')}"] = ""
    made = site.up(values, *NUMBERS)
    for router in made:
        router.container("caliaaa", *lent(router.number))
    for router in made:
        eventually(partial(knows_all, router), "all routes are known")
    return made


def theirs(router: Router) -> set[str]:
    """What the other two announce, as the kernel writes it."""
    others = [number for number in NUMBERS if number != router.number]
    return {each for number in others for each in (*blocks(number), *lent(number))}


def knows_all(router: Router) -> bool:
    """Whether BIRD has all of it from its peers, by all four sessions, and the kernel from BIRD."""
    from_bgp = {prefix.removesuffix("/32").removesuffix("/128") for prefix in router.routes()}
    settled = "recovery" not in router.ask("show", "status")
    all_up = len(router.established()) == 2 * (len(NUMBERS) - 1)
    return settled and all_up and from_bgp == router.from_peers() == theirs(router)


def restart(*them: Router, options: tuple[str, ...] = ("-R",)) -> None:
    """End all of them without a word to their peers, then start all of them."""
    for router in them:
        end(router)
    for router in them:
        kept(router).write_text(router.namespace.run([str(SERVICE / "kept")]).out)
        router.start(*options)


def end(router: Router) -> None:
    """End it as the service does, without a word to its peers."""
    router.ask("graceful", "restart")
    assert router.process is not None
    router.process.wait(routers.PATIENCE * command.PACE)


def kept(router: Router) -> Path:
    """The file of what its former BIRD left."""
    return router.directory / "kept.conf"


def has_forgotten(router: Router) -> bool:
    """Whether its BIRD no longer has what was kept."""
    return "kept" not in router.ask("show", "protocols")


def release(router: Router, process: int, at_most: int = 60) -> None:
    """Wait until kept routes are given up: one second unused is enough here."""
    argv = [SERVICE / "release", process, kept(router), router.socket, 1, at_most]
    command.run([str(each) for each in argv])


def pid(router: Router) -> int:
    """The process of its BIRD."""
    assert router.process is not None
    return router.process.pid


@contextmanager
def nothing_is_taken_away(*them: Router) -> Iterator[None]:
    """Assert that meanwhile no route that leads to a peer is deleted, be it for a moment."""
    with ExitStack() as stack:
        watches = [watch(router, stack) for router in them]
        yield
        assert [each.taken_away() for each in watches] == [[]] * len(them)


def watch(router: Router, stack: ExitStack) -> RouteWatch:
    """Note the changes of its kernel's routes until the end."""
    note = router.directory / "monitor"
    with router.namespace.entered():
        process = command.spawn([*command.DIES_WITH_US, *route_watch.PROGRAM], note)
    stack.callback(command.stop, process)
    return RouteWatch(partial(router.namespace.run, quiet=True), note)


def test_of_three_that_restart_at_once_none_loses_a_route(three):
    before = [pid(router) for router in three]
    with nothing_is_taken_away(*three):
        restart(*three)
        for router in three:
            eventually(partial(knows_all, router), "all routes are known again")
        for router, former in zip(three, before, strict=True):
            release(router, former)
            assert kept(router).exists(), "that was of another BIRD"
            release(router, pid(router))
            assert not kept(router).exists()
            eventually(partial(has_forgotten, router), "what was kept is forgotten")
            assert knows_all(router)


def test_what_no_peer_says_any_more_is_given_up_in_the_end(three):
    one, two, third = three
    for router in (two, third):
        end(router)
    # Without -R, which would have to be waited for: nothing else keeps the routes.
    restart(one, options=())
    assert "Established" not in one.ask("show", "protocols")
    assert one.from_peers() == theirs(one)
    release(one, pid(one), at_most=3)
    eventually(lambda: not one.from_peers(), "what the others had is forgotten")
