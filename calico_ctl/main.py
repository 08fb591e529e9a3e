"""The front door: find the command, run it, turn any error into a message and an exit code."""

import os
import sys
import traceback
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING

from calico_ctl import settings
from calico_ctl.commands import COMMANDS
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
  ETCD_AUTHORITY  Where etcd is, <host>:<port> [default: 127.0.0.1:4001].
  DOCKER_HOST     Where the Docker Engine is.
  CALICO_DEBUG    1 prints a traceback with an error."""


def main(argv: Sequence[str]) -> int:
    """Run one command line; return the exit code."""
    chosen = settings.read()
    console = Console(os.geteuid())
    return run(argv, RealPlatform(chosen), console, debug=chosen.debug)


def run(argv: Sequence[str], platform: "Platform", console: Console, *, debug: bool) -> int:
    """Run one command line on a platform; return the exit code."""
    try:
        return _dispatch(argv, platform, console)
    except HelpWanted as wanted:
        console.result(wanted.message)
        return wanted.exit_code
    except CalicoError as error:
        if debug:
            traceback.print_exc()
        console.error(error)
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone; Python must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except Exception as error:
        if debug:
            traceback.print_exc()
        console.error(
            CalicoError(
                f"this is a bug in calicoctl: {type(error).__name__}: {error}",
                hint="CALICO_DEBUG=1 shows where it happened",
            )
        )
        return ExitCode.FAILED


def _dispatch(argv: Sequence[str], platform: "Platform", console: Console) -> int:
    if not argv or argv[0] in {"-h", "--help", "help"}:
        console.result(HELP.format(commands=_command_lines()))
        return ExitCode.OK
    name = "version" if argv[0] == "--version" else argv[0]
    command = COMMANDS.get(name)
    if command is None:
        close = get_close_matches(name, COMMANDS, 1)
        hint = f"did you mean `{close[0]}`?" if close else "`calicoctl --help` lists the commands"
        raise UsageError(f"calicoctl has no command {name!r}", hint)
    module = import_module(f"calico_ctl.commands.{command.module}")
    code: int = module.run([name, *argv[1:]], platform, console)
    return code


def _command_lines() -> str:
    return "\n".join(
        f"  {name:<10} {command.summary}" for name, command in COMMANDS.items() if command.summary
    )
