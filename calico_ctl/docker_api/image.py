"""Getting an image that is not there.

Our own is built from the build context that ships with the tool; any other is pulled.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile

from calico_ctl import __version__
from calico_ctl.docker_api import build_context
from calico_ctl.docker_api.client import Engine
from calico_ctl.errors import CalicoError, DockerError, NotFound
from calico_ctl.host import files
from calico_ctl.model import image_name

_OURS = "calico/node"
DEFAULT_IMAGE = f"{_OURS}:{__version__}"
PROGRAM = "/usr/local/bin/calico-node"
"""What the node image starts (calico_node/Dockerfile)."""

Progress = Callable[[str], None]

_PUBLISHED_BASE = "debian:bookworm-slim"
_MADE_BASE = "calico/base:bookworm"
"""What `scripts/base_image` makes where no registry answers."""

_WITHOUT_NETWORK = (
    "`calicoctl node image load <FILE>` brings it from another host,"
    " --node-image=<IMAGE> from a registry"
)
_NO_TLS = "a registry without TLS has to be in `insecure-registries` of /etc/docker/daemon.json"
_SIGNED = "Docker looks for who signs its certificate in /etc/docker/certs.d/<registry>/ca.crt"
_LOG_IN = "if the registry wants a password: `docker login <registry>`, as root"
_PULL_HINTS = (
    ("HTTP response to HTTPS client", _NO_TLS),
    ("x509: ", _SIGNED),
    (" credentials", _LOG_IN),
    (" denied", _LOG_IN),
    ("unauthorized: ", _LOG_IN),
    (" unknown", "was it pushed to the registry under this name and tag?"),
    ("", "where no registry is reached, `calicoctl node image load <FILE>` brings an image"),
)
"""What to try, by what is said when an image cannot be pulled; the first one counts."""

_ON_THE_WAY = frozenset({"Pulling fs layer", "Waiting", "Verifying Checksum", "Download complete"})
"""What is said of a layer before it is there."""

_CA_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")


def ensure(engine: Engine, image: str, progress: Progress) -> None:
    """Make sure that the image is there; tell what happens meanwhile, a line at a time."""
    if engine.image_id(image) is not None:
        return
    if image == DEFAULT_IMAGE:
        build(engine, image, progress)
    else:
        _pull(engine, image, progress)


def kept(former: str | None) -> str:
    """Return the image for a node whose container was made from `former`; None: there is none.

    Ours goes with the version of the command; one from elsewhere stays.
    """
    if former is None or image_name.repository(former) == _OURS:
        return DEFAULT_IMAGE
    return former


def require_node(engine: Engine, image: str) -> None:
    """Refuse an image that is not the node's, before it takes the place of one that works."""
    if PROGRAM not in engine.entrypoint(image):
        raise CalicoError(
            f"{image} is not an image of calico-node: it does not start {PROGRAM}",
            hint=f"name one that was made from {DEFAULT_IMAGE}, with --node-image=<IMAGE>",
        )


def _pull(engine: Engine, image: str, progress: Progress) -> None:
    progress(f"pulling {image}")
    try:
        _watch(f"cannot pull {image}", engine.pull(image), progress)
    except DockerError as error:
        hint = next(hint for words, hint in _PULL_HINTS if words in error.message)
        raise DockerError(error.message, hint) from error


def build(engine: Engine, image: str, progress: Progress) -> None:
    """Build the node image from the context that ships with the tool."""
    base = base_image(engine)
    progress(f"building {image} on {base} (once; a minute or so)")
    arguments = {"BASE_IMAGE": base, "VERSION": __version__}
    context = build_context.tar(build_context.root(), _ca_bundle())
    messages = engine.build(image, context, "calico_node/Dockerfile", arguments)
    _watch(f"cannot build {image}", messages, progress, _WITHOUT_NETWORK)


def save(engine: Engine, image: str, path: Path) -> int:
    """Write an image that is there to a file, for `load` elsewhere; return its size in bytes.

    The file is there as a whole or not at all. Raises CalicoError if it cannot be written.
    """
    try:
        # A name that nobody can have guessed: the folder may be one that all may write to.
        with NamedTemporaryFile(prefix=f".{path.name}.", dir=path.parent, delete=False) as file:
            try:
                for piece in engine.saved(image):
                    file.write(piece)
                file.flush()
                Path(file.name).chmod(0o644)
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
            return file.tell()
    except OSError as error:
        raise CalicoError(f"cannot write {path}: {error.strerror}") from error


def load(engine: Engine, image: str, path: Path, progress: Progress) -> None:
    """Load an image from a file that `save` (or `docker save`) wrote.

    Raises NotFound if the file has another image, CalicoError if it cannot be read.
    """
    said: list[str] = []

    def tell(line: str) -> None:
        said.append(line)
        progress(line)

    try:
        with path.open("rb") as file:
            _watch(f"cannot load {path}", engine.load(file), tell)
    except OSError as error:
        raise CalicoError(f"cannot read {path}: {error.strerror}") from error
    if engine.image_id(image) is None:
        found = f" ({said[-1]})" if said else ""
        raise NotFound(
            f"{path} does not have the image {image}{found}",
            hint="`calicoctl node image save <FILE>` of the same version writes one that does",
        )


def base_image(engine: Engine) -> str:
    """Return the image to build on: Debian's own, unless only the home-made one is here."""
    only_made = engine.image_id(_PUBLISHED_BASE) is None and engine.image_id(_MADE_BASE) is not None
    return _MADE_BASE if only_made else _PUBLISHED_BASE


def _ca_bundle() -> str:
    """Return what this machine trusts: pip inside the build has to, where TLS is intercepted."""
    bundles = (files.read(path) for path in _CA_BUNDLES)
    return next((bundle for bundle in bundles if bundle), "")


def _watch(
    failure: str, messages: Iterable[Mapping[str, object]], progress: Progress, hint: str = ""
) -> None:
    """Pass on the engine's messages; raise DockerError if one of them is an error.

    Progress bars (messages with an id) are left out: only what each layer ends with is a line.
    """
    for message in messages:
        if "error" in message:
            raise DockerError(f"{failure}: {str(message['error']).strip()}", hint)
        said = str(message.get("stream") or message.get("status") or "").strip()
        if said in _ON_THE_WAY:
            continue
        if said and "progress" not in message and not message.get("progressDetail"):
            layer = f"{message['id']}: " if "id" in message else ""
            progress(layer + said)
