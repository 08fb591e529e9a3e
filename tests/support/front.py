"""Stands between clients and a server, and changes words of what the server says. A program.

front.py <listen> <server> <pattern> <replacement>

Both ends are `address:port`, or the path of a Unix socket. The replacement is as long as what it
replaces, so that lengths which were said before stay true.
"""

import re
import socket
import sys
import threading
from contextlib import suppress


def _listen(where: str) -> socket.socket:
    if "/" in where:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(where)
        listener.listen()
        return listener
    host, _, port = where.rpartition(":")
    return socket.create_server((host, int(port)))


def _connect(where: str) -> socket.socket:
    if "/" in where:
        made = socket.socket(socket.AF_UNIX)
        made.connect(where)
        return made
    host, _, port = where.rpartition(":")
    return socket.create_connection((host, int(port)))


def _carry(source: socket.socket, target: socket.socket, pattern: bytes, words: bytes) -> None:
    """Pass on what comes until the end of it; what is short comes in one piece."""
    with suppress(OSError):
        while data := source.recv(1 << 20):
            target.sendall(re.sub(pattern, words, data))
    for each in (source, target):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


def main() -> None:
    """Serve until killed."""
    listen, server, pattern, words = sys.argv[1:]
    listener = _listen(listen)
    while True:
        client, _ = listener.accept()
        beyond = _connect(server)
        there = (client, beyond, b"(?!)", b"")
        back = (beyond, client, pattern.encode(), words.encode())
        for way in (there, back):
            threading.Thread(target=_carry, args=way, daemon=True).start()


if __name__ == "__main__":
    main()
