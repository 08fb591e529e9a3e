"""The real shells complete what a person types: each word ends with Tab, the line with Return."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import command, terminal
from tests.support.paths import CHECKOUT

pytestmark = pytest.mark.timeout(240)
PATIENCE = 60

# What a shell finds as `calicoctl`: it completes as calicoctl does, with all the time in the world
# to ask etcd, and prints the words of every other line, so that one sees what the line became.
PROGRAM = f"""#!{sys.executable}
import sys
sys.path.insert(0, {str(CHECKOUT)!r})
from calico_ctl import main
from calico_ctl.commands import complete
complete.SECONDS = {PATIENCE}
if sys.argv[1] in {{"complete", "completion"}}:
    sys.exit(main.main(sys.argv[1:]))
print("RAN", *sys.argv[1:], "END")
"""

TYPED = [
    ("prof\tweb\truf\x7f\tsh\t", "profile web rule show"),
    ("pool show --ipv4 --out\tjs\t", "pool show --ipv4 --output=json"),
    ("pool remove fd80:\t", "pool remove fd80:24e2::/64"),
    ("profile front\t tag add x", "profile frontend tag add x"),
]


@pytest.fixture
def environment(shell, tmp_path: Path) -> dict[str, str]:
    """An environment with that program, a home of its own, and an etcd with a few names in it."""
    shell.done("profile add web")
    shell.done("profile add frontend")
    shell.done("pool add fd80:24e2::/64")
    shell.done("complete -- prof")
    program = tmp_path / "calicoctl"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    return {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "TERM": "vt100",
        "ETCD_AUTHORITY": shell.authority,
    }


def program_of(name: str) -> str:
    found = shutil.which(name)
    assert found is not None, f"{name} is missing: scripts/setup installs it"
    return found


@pytest.fixture(params=["bash", "zsh"])
def person(request, environment) -> Iterator[terminal.Terminal]:
    """A person at a terminal with that shell, its completion loaded."""
    argv, first = {
        "bash": (["--norc", "--noprofile", "-i"], ""),
        "zsh": (["-f", "-i"], "autoload -Uz compinit; compinit -u -D; "),
    }[request.param]
    with terminal.running([program_of(request.param), *argv], environment) as person:
        load = f"{first}. <(calicoctl completion {request.param}); echo LOAD''ED\n"
        person.type(load.encode())
        person.read_until(b"LOADED", PATIENCE)
        yield person


def test_bash_and_zsh_complete_commands_options_and_names(person) -> None:
    for keys, line in TYPED:
        person.type(f"calicoctl {keys}\n".encode())
        person.read_until(f"RAN {line} END".encode(), PATIENCE)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("prof", ["profile"]),
        ("profile w", ["web"]),
        ("profile web rule sh", ["show"]),
        ("pool show --output=js", ["--output=json"]),
        ("pool remove fd", ["fd80:24e2::/64"]),
    ],
)
def test_fish_completes_commands_options_and_names(environment, line, expected) -> None:
    script = f"calicoctl completion fish | source; complete -C 'calicoctl {line}'"
    done = command.run([program_of("fish"), "--no-config", "-c", script], env=environment)
    assert done.out.splitlines() == expected
