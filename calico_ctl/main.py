"""The front door: find the command, run it, turn any error into a message and an exit code."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from calico_ctl import settings
from calico_ctl.commands import COMMANDS, FORMER
from calico_ctl.console import Console
from calico_ctl.errors import CalicoError, ExitCode, UsageError
from calico_ctl.usage import HelpWanted
from calico_ctl.wiring import RealPlatform

if TYPE_CHECKING:
    from calico_ctl.workload.platform import Platform

HELP = """Routed networking and access control for plain Docker hosts.

Usage:
  calicoctl <command> [<args>...]

Commands:
{commands}

`calicoctl <command> --help` says more about each.

Environment:
  ETCD_AUTHORITY     Where etcd is, <host>:<port> [default: 127.0.0.1:4001].
  DOCKER_HOST        Where the Docker Engine is [default: unix:///var/run/docker.sock].
  CALICO_NETWORKING  `false` starts a node that leaves the routing to others.
  CALICO_DEBUG       `1` prints a traceback with every error."""


def main(argv: Sequence[str]) -> int:
    """Run one command line in this process's environment; return the exit code."""
    # A name in a message may hold bytes that the terminal cannot show; that is no reason to fail.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    chosen = settings.read()
    return run(argv, RealPlatform(chosen), Console(os.geteuid()), debug=chosen.debug)


def run(argv: Sequence[str], platform: "Platform", console: Console, *, debug: bool) -> int:
    """Run one command line on a platform; return the exit code."""
    try:
        return _dispatch(argv, platform, console)
    except HelpWanted as wanted:
        console.result(wanted.message)
        return wanted.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except CalicoError as error:
        failure = error
    except Exception as error:
        failure = CalicoError(
            f"this is a bug in calicoctl: {type(error).__name__}: {error}",
            hint="CALICO_DEBUG=1 shows where it happened",
        )
        failure.__cause__ = error
    if debug:
        console.say(_traceback(failure))
    console.error(failure)
    return failure.exit_code


def _dispatch(argv: Sequence[str], platform: "Platform", console: Console) -> int:
    name, *rest = argv or ["--help"]
    if name == "help" and rest:
        name, rest = rest[0], ["--help"]
    if name in {"-h", "--help", "help"}:
        console.result(HELP.format(commands=_command_lines()))
        return ExitCode.OK
    if name == "--version":
        name = "version"
    if name not in COMMANDS:
        raise UsageError(f"error: calicoctl has no command `{name}`", _suggestion(name))
    module = import_module(f"calico_ctl.commands.{COMMANDS[name].module}")
    code: int = module.run([name, *rest], platform, console)
    return code


def _traceback(error: CalicoError) -> str:
    import traceback

    return "".join(traceback.format_exception(error)).rstrip()


def _suggestion(name: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, [each for each in COMMANDS if COMMANDS[each].summary], 1)
    meant = FORMER.get(name) or (close[0] if close else "")
    if not meant:
        return "`calicoctl --help` lists the commands"
    return f"did you mean `calicoctl {meant}`?"


def _command_lines() -> str:
    return "\n".join(
        f"  {name:<10} {command.summary}" for name, command in COMMANDS.items() if command.summary
    )
