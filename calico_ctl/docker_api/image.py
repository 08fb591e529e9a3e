"""Getting an image that is not there.

Our own is built from the build context that ships with the tool; any other is pulled.
"""

import io
import sys
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from calico_ctl import __version__
from calico_ctl.docker_api.client import Engine
from calico_ctl.errors import CalicoError, DockerError
from calico_ctl.host import files

DEFAULT_IMAGE = f"calico/node:{__version__}"

Progress = Callable[[str], None]

_PUBLISHED_BASE = "debian:bookworm-slim"
_MADE_BASE = "calico/base:bookworm"
"""What `scripts/base_image` makes where no registry answers."""

_PARTS = ("calico_ctl", "calico_node", "calicoctl.py", "requirements.txt", "LICENSE")
_HOST_CA = "calico_node/host-ca.crt"
_CA_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")


def ensure(engine: Engine, image: str, progress: Progress) -> None:
    """Make sure that the image is there; tell what happens meanwhile, a line at a time."""
    if engine.image_id(image) is not None:
        return
    if image == DEFAULT_IMAGE:
        build(engine, image, progress)
    else:
        progress(f"pulling {image}")
        _watch(f"cannot pull {image}", engine.pull(image), progress)


def build(engine: Engine, image: str, progress: Progress) -> None:
    """Build the node image from the context that ships with the tool."""
    base = base_image(engine)
    progress(f"building {image} on {base} (once; a minute or so)")
    arguments = {"BASE_IMAGE": base, "VERSION": __version__}
    messages = engine.build(image, context(context_root()), "calico_node/Dockerfile", arguments)
    _watch(f"cannot build {image}", messages, progress)


def base_image(engine: Engine) -> str:
    """Return the image to build on: Debian's own, unless only the home-made one is here."""
    only_made = engine.image_id(_PUBLISHED_BASE) is None and engine.image_id(_MADE_BASE) is not None
    return _MADE_BASE if only_made else _PUBLISHED_BASE


def context_root() -> Path:
    """Return where the build context is: the checkout, or what PyInstaller unpacked."""
    unpacked = getattr(sys, "_MEIPASS", None)
    return Path(unpacked) if unpacked else Path(__file__).parents[2]


def context(root: Path) -> bytes:
    """Return the build context as a tar file; equal files give equal bytes."""
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as tar:
        for part in _PARTS:
            for path in _sources(root / part):
                name = str(path.relative_to(root))
                _add(tar, name, path.read_bytes(), executable=_is_program(path))
        _add(tar, _HOST_CA, _ca_bundle().encode(), executable=False)
    return memory.getvalue()


def _sources(part: Path) -> Iterator[Path]:
    """Yield the files of a part in a fixed order, without what Python compiled."""
    if part.is_file():
        yield part
        return
    if not part.is_dir():
        raise CalicoError(f"cannot build the node image: {part} is missing")
    for path in sorted(part.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".crt":
            yield path


def _is_program(path: Path) -> bool:
    """Judge by content: PyInstaller's data files have lost their mode."""
    with path.open("rb") as file:
        return file.read(2) == b"#!"


def _add(tar: tarfile.TarFile, name: str, content: bytes, *, executable: bool) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    entry.mode = 0o755 if executable else 0o644
    tar.addfile(entry, io.BytesIO(content))


def _ca_bundle() -> str:
    """Return what this machine trusts: pip inside the build has to, where TLS is intercepted."""
    bundles = (files.read(path) for path in _CA_BUNDLES)
    return next((bundle for bundle in bundles if bundle), "")


def _watch(failure: str, messages: Iterable[Mapping[str, object]], progress: Progress) -> None:
    """Pass on the engine's messages; raise DockerError if one of them is an error.

    Progress bars (messages with an id) are left out: only what each layer ends with is a line.
    """
    for message in messages:
        if "error" in message:
            raise DockerError(f"{failure}: {str(message['error']).strip()}")
        said = str(message.get("stream") or message.get("status") or "").strip()
        if said and "progress" not in message and not message.get("progressDetail"):
            layer = f"{message['id']}: " if "id" in message else ""
            progress(layer + said)
