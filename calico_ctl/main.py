"""The front door: find the command, run it, turn any error into a message and an exit code."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from calico_ctl import __version__, usage, usage_text
from calico_ctl.commands import COMMANDS, FORMER
from calico_ctl.console import Console
from calico_ctl.errors import CalicoError, ExitCode, UsageError
from calico_ctl.usage import HelpWanted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from calico_ctl.workload.platform import Platform

HELP = """Routed networking and access control for plain Docker hosts.

Usage:
  calicoctl <command> [<args>...]

Commands:
{commands}

`calicoctl <command> --help` says more about each.

Options, for every command:
  -h --help  Show how it is used.
  --quiet    No progress and no remarks; warnings and errors stay.

Environment:
  ETCD_AUTHORITY     Where etcd is, <host>:<port>[,<host>:<port>...] [default: 127.0.0.1:4001].
  ETCD_SCHEME        `https` for TLS; ETCD_CA_CERT_FILE is who signs etcd's certificate,
                     ETCD_CERT_FILE and ETCD_KEY_FILE are what we show of ourselves.
  ETCD_USERNAME      A user of etcd, with ETCD_PASSWORD_FILE or ETCD_PASSWORD.
  DOCKER_HOST        Where the Docker Engine is [default: unix:///var/run/docker.sock].
  CALICO_NETWORKING  `false` starts a node that leaves the routing to others.
  CALICO_DEBUG       `1` prints a traceback with every error.
  NO_COLOR           If set, messages have no colour, on a terminal neither."""

_OBJECTS_BEFORE_GARBAGE = 100_000


def main(argv: Sequence[str]) -> int:
    """Run one command line in this process's environment; return the exit code."""
    # A name in a message may hold bytes that the terminal cannot show; that is no reason to fail.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    words = _without_quiet(argv)
    try:
        if (answer := _plain_answer(words)) is not None:
            return _print(answer)
        return _run_for_real(words, quiet=len(words) < len(argv))
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED


def _run_for_real(words: Sequence[str], *, quiet: bool) -> int:
    if words[0] != "daemon":
        _expect_a_short_life()
    # Imported here: who asks for help or the version does not wait for it.
    from calico_ctl import settings
    from calico_ctl.wiring import RealPlatform

    chosen = settings.read()
    console = Console(os.geteuid(), quiet=quiet, colour=chosen.colour)
    return run(words, RealPlatform(chosen), console, debug=chosen.debug)


def _expect_a_short_life() -> None:
    """Do without what pays only for a process that runs for long."""
    import gc

    from calico_ctl import lazy_imports

    # What a command makes, it needs to its end: looking for garbage finds none.
    gc.set_threshold(_OBJECTS_BEFORE_GARBAGE, 20, 100)
    lazy_imports.prepare()


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
    if (answer := _plain_answer(argv)) is not None:
        console.result(answer)
        return ExitCode.OK
    name = argv[0]
    if name not in COMMANDS:
        raise UsageError(f"error: {_unknown(name)}", _suggestion(name))
    module = import_module(f"calico_ctl.commands.{COMMANDS[name].module}")
    code: int = module.run(list(argv), platform, console)
    return code


def _plain_answer(argv: Sequence[str]) -> str | None:
    """Return the help or the version if the line asks for that, which needs nothing else."""
    name, *rest = argv or ["--help"]
    if name == "help" and rest:
        name, rest = rest[0], ["--help"]
    if name in {"-h", "--help", "help"}:
        return help_text()
    if name == "--version" or (name == "version" and not rest):
        return __version__
    if name in COMMANDS and usage.asks_for_help(rest):
        return usage_text.of(name)
    return None


def _print(answer: str) -> int:
    console = Console(os.geteuid())
    try:
        console.result(answer)
    except CalicoError as error:
        console.error(error)
        return error.exit_code
    return ExitCode.OK


def _without_quiet(argv: Sequence[str]) -> list[str]:
    """Return the words without `--quiet`, which every command takes, before it or after it."""
    before = usage.options_part(argv)
    return [*(word for word in before if word != "--quiet"), *argv[len(before) :]]


def _unknown(name: str) -> str:
    what = "option" if name.startswith("-") else "command"
    return f"calicoctl has no {what} `{name}`"


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


def help_text() -> str:
    """Return the help that is about all commands."""
    lines = [f"  {name:<12} {each.summary}" for name, each in COMMANDS.items() if each.summary]
    return HELP.format(commands="\n".join(lines))
