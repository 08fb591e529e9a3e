"""A numbered datagram every 20 ms, and whoever repeats it. A program by itself.

datagrams.py answer 7000                       until killed, on all addresses of both families
datagrams.py ask 192.168.1.1 7000 DIRECTORY    until there is DIRECTORY/stop

The one who asks writes what it knows into DIRECTORY/result. Nothing may be lost on its own account:
buffers hold minutes of datagrams, none is given up before `PATIENCE` is over, and an ICMP error
does not reach a socket that is not connected.
"""

import json
import socket
import sys
import time
from pathlib import Path

PACE = 0.02
PATIENCE = 30.0
"""How long the answers to the last datagrams are waited for, in seconds."""
BUFFER = 8 << 20
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33
SHOWN_EVERY = 10


def answer(port: int) -> None:
    server = _socket(socket.AF_INET6)
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    server.bind(("::", port))
    while True:
        data, sender = server.recvfrom(100)
        server.sendto(data, sender)


def ask(address: str, port: int, directory: Path) -> None:
    client = _socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    unanswered: set[int] = set()
    refused: list[str] = []
    sent = 0

    def write(done: bool) -> None:
        found = {"sent": sent, "lost": sorted(unanswered), "refused": refused, "done": done}
        (directory / "fresh").write_text(json.dumps(found))
        (directory / "fresh").rename(directory / "result")

    while not (directory / "stop").exists():
        unanswered.add(sent)
        try:
            client.sendto(b"%d" % sent, (address, port))
        except OSError as error:
            refused.append(f"{sent}: {error}")
        sent += 1
        _collect(client, unanswered, time.monotonic() + PACE)
        if sent % SHOWN_EVERY == 0:
            write(done=False)
    ends = time.monotonic() + PATIENCE
    while unanswered and time.monotonic() < ends:
        _collect(client, unanswered, time.monotonic() + PACE)
    write(done=True)


def _collect(client: socket.socket, unanswered: set[int], until: float) -> None:
    while (left := until - time.monotonic()) > 0:
        client.settimeout(left)
        try:
            unanswered.discard(int(client.recv(100)))
        except TimeoutError:
            return


def _socket(family: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_DGRAM)
    # The machine's limit for those who are not root would be too small.
    for option in (SO_SNDBUFFORCE, SO_RCVBUFFORCE):
        made.setsockopt(socket.SOL_SOCKET, option, BUFFER)
    return made


if __name__ == "__main__":
    if sys.argv[1] == "answer":
        answer(int(sys.argv[2]))
    ask(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
