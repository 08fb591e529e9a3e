"""Servers of a test's own, on a port of loopback, which do to each connection what the test says.

For what a real server would do seldom, or never: to hang up, to be silent, to speak something else.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import count

Act = Callable[[socket.socket], object]
"""What a server does to a connection. When it has come to its end the connection is closed."""


@contextmanager
def serving(act: Act, connections: int | None = None) -> Iterator[int]:
    """Give the port of a server that has one connection after the other, so many or any number.

    Those beyond are not taken. A client that hangs up is no fault.
    """

    def serve(listener: socket.socket) -> None:
        for _ in count() if connections is None else range(connections):
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # nobody listens any more
            with connection, suppress(OSError):
                act(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(60)


@contextmanager
def silent() -> Iterator[int]:
    """Give the port of a server that takes every connection and says nothing."""
    with ExitStack() as held, serving(lambda each: held.enter_context(each.dup())) as port:
        yield port


@contextmanager
def nobody() -> Iterator[int]:
    """Give a port where connections are refused: it is taken by a socket that does not listen."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def hanging_up(asked: list[bytes]) -> Act:
    """Note what is asked, and answer nothing."""
    return lambda connection: asked.append(connection.recv(4096))


def saying(answer: bytes) -> Act:
    """Give a question this answer, whatever it was, and hang up."""

    def act(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(answer)

    return act


def answering(*answers: Sequence[bytes]) -> Act:
    """Give each question an answer, in pieces that come as such."""

    def act(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for answer in answers:
            connection.recv(4096)
            for piece in answer:
                connection.sendall(piece)
                time.sleep(0.001)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(4096)

    return act


PLAIN_HTTP = saying(b"HTTP/1.1 400 Bad Request\r\n\r\n")
"""What a server without TLS says to whoever begins with it."""
