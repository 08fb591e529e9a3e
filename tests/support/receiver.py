"""A server that takes files by HTTP PUT. A program by itself.

receiver.py 10.99.0.2 8099 /run/received   into that folder; below /broken/ it answers with 500
"""

import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class _Handler(BaseHTTPRequestHandler):
    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        folder, _, name = self.path.rpartition("/")
        if folder == "/broken":
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR, explain="no disk")
            return
        (FOLDER / name).write_bytes(content)
        self.send_response(HTTPStatus.CREATED)
        self.end_headers()
        self.wfile.write(f"kept as {name}, login: {self.headers.get('Authorization')}\n".encode())


if __name__ == "__main__":
    FOLDER = Path(sys.argv[3])
    FOLDER.mkdir()
    HTTPServer((sys.argv[1], int(sys.argv[2])), _Handler).serve_forever()
