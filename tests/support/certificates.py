"""Throw-away certificates, made with `openssl`: an authority, a server, a client, a stranger."""

import subprocess
from collections.abc import Sequence
from pathlib import Path


class Certificates:
    """PEM files in a directory, by name: `ca`, `server`, `client` (signed by it), `stranger`.

    The server has the name `localhost`, and the addresses given.
    """

    def __init__(self, directory: Path, addresses: Sequence[str] = ("127.0.0.1",)) -> None:
        self._directory = directory
        self._sign("ca", "-subj", "/CN=test authority")
        self._sign("stranger", "-subj", "/CN=stranger")
        by = ["-CA", self.certificate("ca"), "-CAkey", self.key("ca")]
        names = ",".join(["DNS:localhost", *(f"IP:{address}" for address in addresses)])
        alternative = ["-addext", f"subjectAltName={names}"]
        self._sign("server", "-subj", "/CN=localhost", *alternative, *by)
        self._sign("client", "-subj", "/CN=client", *by)

    def certificate(self, name: str) -> str:
        """The path of a certificate."""
        return str(self._directory / f"{name}.pem")

    def key(self, name: str) -> str:
        """The path of its key."""
        return str(self._directory / f"{name}-key.pem")

    def _sign(self, name: str, *arguments: str) -> None:
        kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        files = ["-keyout", self.key(name), "-out", self.certificate(name)]
        argv = ["openssl", "req", *kind, *files, "-days", "2", *arguments]
        subprocess.run(argv, check=True, capture_output=True)
