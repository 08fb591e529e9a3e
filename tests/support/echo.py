"""A server that repeats what it hears, and the client that asks it. A program by itself.

echo.py serve tcp 80              until killed, on all addresses of both families
echo.py probe tcp 192.168.1.1 80  exit code 0 if the answer came within a second
"""

import socket
import sys
import threading

MESSAGE = b"ping"
PATIENCE = 1.0
KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def serve(kind: str, port: int) -> None:
    server = socket.socket(socket.AF_INET6, KINDS[kind])
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("::", port))
    if kind == "udp":
        while True:
            data, sender = server.recvfrom(2000)
            server.sendto(data, sender)
    server.listen()
    while True:
        peer, _ = server.accept()
        threading.Thread(target=_repeat, args=(peer,), daemon=True).start()


def _repeat(peer: socket.socket) -> None:
    with peer:
        while data := peer.recv(2000):
            peer.sendall(data)


def probe(kind: str, address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, KINDS[kind]) as client:
        client.settimeout(PATIENCE)
        try:
            client.connect((address, port))
            client.send(MESSAGE)
            return client.recv(2000) == MESSAGE
        except OSError as error:
            print(error)
            return False


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2], int(sys.argv[3]))
    raise SystemExit(not probe(sys.argv[2], sys.argv[3], int(sys.argv[4])))
