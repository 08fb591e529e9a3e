"""A registry of images in a lab host, for the hosts that reach it. It speaks plain HTTP."""

import hashlib
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from subprocess import Popen
from typing import Self

from tests.support import command
from tests.support.host import Host

_SETTINGS = """\
version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: {directory}/data}}}}
http: {{addr: "{address}"}}
"""
_PASSWORDS = """\
auth: {{htpasswd: {{realm: lab, path: {directory}/passwords}}}}
"""
USER, PASSWORD = "lab", "of-the-lab"
_HASHED = "lab:$2b$04$7NIwTLAQVxiRhJZUD9RDz.oyjtzDfXxaeGN/ZpXAaTLMemTVg4teu"
"""Of that user and password, as bcrypt."""

_MEDIA = "application/vnd.docker"
_MANIFEST = f"{_MEDIA}.distribution.manifest.v2+json"
_CONFIG = f"{_MEDIA}.container.image.v1+json"
_LAYER = f"{_MEDIA}.image.rootfs.diff.tar"
_UPLOAD = """
place=$(curl -sSf -X POST -D - -o /dev/null "$1/blobs/uploads/" |
    sed -n 's/^Location: \\(.*\\)\\r$/\\1/Ip')
curl -sSf -X PUT -T "$2" "$place&digest=$3"
"""


class Registry:
    """A registry in a host. `private`: it wants a user and a password."""

    def __init__(self, host: Host, port: int = 5000, *, private: bool = False) -> None:
        self.host = host
        self.address = f"{host.ip}:{port}"
        self._private = private
        self._directory = host.directory / f"registry-{port}"
        self._process: Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._directory.mkdir(exist_ok=True)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, with the images that it had, and wait until it answers."""
        file = self._directory / "settings.yml"
        text = _SETTINGS + (_PASSWORDS if self._private else "")
        file.write_text(text.format(directory=self._directory, address=self.address))
        (self._directory / "passwords").write_text(f"{_HASHED}\n")
        argv = ["docker-registry", "serve", str(file)]
        self._process = self.host.spawn(argv, f"{self._directory.name}.log")
        command.wait_until(self._answers, 20, f"the registry at {self.address} answers")

    def stop(self) -> None:
        """Stop it; the images stay."""
        if self._process is not None:
            command.stop(self._process)
        self._process = None

    def trusted_by(self, host: Host) -> None:
        """Have a host's engine take it without TLS, beside those that it takes already."""
        file = host.run("cat /etc/docker/daemon.json || echo '{}'", quiet=True).out
        known = json.loads(file).get("insecure-registries", [])
        text = json.dumps({"insecure-registries": [*known, self.address]})
        host.run(f"echo '{text}' >/etc/docker/daemon.json; kill -HUP $(cat /run/docker.pid)")
        info = ["docker", "info", "--format", "{{json .RegistryConfig}}"]
        command.wait_until(
            lambda: self.address in host.run(info, quiet=True).out,
            20,
            f"the engine of {host.name} trusts {self.address}",
        )

    def let_in(self, host: Host, env: Mapping[str, str]) -> None:
        """Tell a host the password of a private one; `env`: where the Docker client keeps it."""
        argv = ["docker", "login", f"--username={USER}", "--password-stdin", self.address]
        host.run(argv, env=env, stdin=PASSWORD)

    def push(self, image: str, name: str, env: Mapping[str, str] | None = None) -> str:
        """Have an image of the host's, a small one, under a name; return that. The host forgets it.

        `env`: where the Docker client finds the password of a private registry.
        """
        pushed = f"{self.address}/{name}"
        self.host.docker("tag", image, pushed)
        try:
            self.host.run(["docker", "push", "--quiet", pushed], env=env)
        finally:
            self.host.docker("rmi", pushed)
        return pushed

    def _answers(self) -> bool:
        argv = ["curl", "-s", "-m", "5", f"http://{self.address}/v2/"]
        return self.host.run(argv, check=False, quiet=True).code == 0

    def add(self, archive: Path, name: str, tag: str) -> str:
        """Have the one image of a file of `docker save` under a name; return that.

        As `docker push` would; but that spends ten seconds on making layers smaller.
        """
        with tarfile.open(archive) as saved:
            saved.extractall(self._directory / "saved", filter="data")
        (image,) = json.loads((self._directory / "saved/manifest.json").read_text())
        config = self._blob(name, image["Config"], _CONFIG)
        layers = [self._blob(name, each, _LAYER) for each in image["Layers"]]
        manifest = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": config, "layers": layers}
        url = f"http://{self.address}/v2/{name}/manifests/{tag}"
        argv = ["curl", "-sSf", "-X", "PUT", "-H", f"Content-Type: {_MANIFEST}", "--data-binary"]
        self.host.run([*argv, json.dumps(manifest), url], quiet=True)
        return f"{self.address}/{name}:{tag}"

    def _blob(self, name: str, path: str, kind: str) -> dict[str, object]:
        """Upload a file of the image; return how a manifest speaks of it."""
        file = self._directory / "saved" / path
        with file.open("rb") as stream:
            digest = f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"
        words = [f"http://{self.address}/v2/{name}", str(file), digest]
        self.host.run(["sh", "-ec", _UPLOAD, "upload", *words], quiet=True)
        return {"mediaType": kind, "size": file.stat().st_size, "digest": digest}
