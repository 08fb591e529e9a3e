"""Print the settings of this host's node, for a shell to take on.

Usage:
  calicoctl env [--shell=<SHELL>]

Options:
  --shell=<SHELL>  `sh` (also for bash, zsh, ksh) or `fish` [default: sh].
  -h --help        Show this text.

What is printed: the ETCD_ variables as this host's calico-node uses them, or, if there is no such
container, as they are here; and DOCKER_HOST for the Docker API that the node offers. Passwords are
not printed: a variable names the file that holds one. Files of the node can be read by root only.

Examples:
  eval "$(calicoctl env)"
  calicoctl env --shell=fish | source
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from calico_ctl import usage
from calico_ctl.console import Console
from calico_ctl.docker_api import node_container
from calico_ctl.errors import CalicoError, ExitCode, InvalidValue
from calico_ctl.model import etcd_access
from calico_ctl.model.container import OwnContainer
from calico_ctl.model.docker_proxy import DockerProxy
from calico_ctl.wiring import RealPlatform
from calico_ctl.workload import proxy_address

_SHELLS = ("sh", "fish")
_FILES = (etcd_access.CA, etcd_access.CERTIFICATE, etcd_access.KEY, etcd_access.PASSWORD_FILE)
_DOCKER_TLS = "DOCKER_TLS_VERIFY"


def run(argv: Sequence[str], platform: RealPlatform, console: Console) -> ExitCode:
    """Print what a shell is to evaluate."""
    words = usage.parse(__doc__, argv)
    shell = words.text("--shell")
    if shell not in _SHELLS:
        raise InvalidValue("--shell", shell, " or ".join(_SHELLS))
    container = _container(platform, console)
    proxy = _proxy(container)
    present = {**platform.settings.etcd_variables, **platform.settings.docker}
    wanted = _etcd(container, platform) | _docker(proxy)
    for line in _lines(wanted, _stale(present, container, proxy), shell):
        console.result(line)
    if proxy is not None and proxy.tls is not None:
        # The last line: `eval $(...)` without quotes makes one line of all, which ends here.
        console.result("# DOCKER_CERT_PATH: the directory of your ca.pem, cert.pem and key.pem")
    return ExitCode.OK


def _container(platform: RealPlatform, console: Console) -> OwnContainer | None:
    try:
        found = platform.docker.hurried().own_container(node_container.NAME)
    except CalicoError as error:
        console.say(f"note: {error.message}; so these are the settings of this shell")
        return None
    if found is None:
        console.say(
            f"note: there is no {node_container.NAME} here; these are the settings of this shell"
        )
    return found


def _proxy(container: OwnContainer | None) -> DockerProxy | None:
    """Return where the node offers the Docker API, if it does just now."""
    if container is None or not container.running:
        return None
    return proxy_address.of_container(container.environment)


def _etcd(container: OwnContainer | None, platform: RealPlatform) -> dict[str, str]:
    if container is not None:
        access = etcd_access.from_environment(container.environment)
        return etcd_access.to_environment(access)
    variables = etcd_access.to_environment(platform.settings.etcd())
    files = {name: str(Path(variables[name]).absolute()) for name in _FILES if name in variables}
    return variables | files


def _docker(proxy: DockerProxy | None) -> dict[str, str]:
    if proxy is None:
        return {}
    host = proxy.host
    if int(proxy.address) == 0:  # every address; this one is nearest
        host = "127.0.0.1" if proxy.address.version == 4 else "::1"
    shown = f"[{host}]" if ":" in host else host
    variables = {"DOCKER_HOST": f"tcp://{shown}:{proxy.port}"}
    return variables if proxy.tls is None else variables | {_DOCKER_TLS: "1"}


def _stale(
    present: Mapping[str, str], container: OwnContainer | None, proxy: DockerProxy | None
) -> list[str]:
    """Return variables of the shell that would turn what is printed into something else."""
    names = [] if container is None else list(etcd_access.VARIABLES)
    if proxy is not None and proxy.tls is None:
        names.append(_DOCKER_TLS)
    return [name for name in names if name in present]


def _lines(wanted: Mapping[str, str], stale: Sequence[str], shell: str) -> list[str]:
    gone = [name for name in stale if name not in wanted]
    if shell == "fish":
        return [
            *(f"set -e {name};" for name in gone),
            *(f"set -gx {name} {_fish(value)};" for name, value in wanted.items()),
        ]
    return [
        *(f"unset {name};" for name in gone),
        *(f"export {name}={_quoted(value)}" for name, value in wanted.items()),
    ]


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "'\\''") + "'"


def _fish(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
