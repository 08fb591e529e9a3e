import os
import subprocess
import sys
from pathlib import Path

import pytest

from calico_ctl import __version__, grammar, main
from calico_ctl.commands import COMMANDS, FORMER
from calico_ctl.errors import PrivilegeRequired
from tests.support.cli import NOT_ROOT, Cli

CHECKOUT = Path(__file__).resolve().parents[2]
HEAVY = {"etcd", "docker", "sh", "netaddr", "docopt", "urllib3", "requests", "asyncio"}


@pytest.fixture
def cli() -> Cli:
    return Cli()


def program(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, CHECKOUT / "calicoctl.py", *words],
        env={"PATH": os.environ["PATH"]} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",), ("help",)])
def test_without_a_command_the_help_is_shown(cli, words) -> None:
    out = cli.done(*words)
    assert "calicoctl <command>" in out
    listed = [line.split()[0] for line in grammar.section(out, "Commands:")]
    assert listed == [name for name in COMMANDS if COMMANDS[name].summary]
    assert "daemon" not in listed


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(cli, name) -> None:
    out = cli.done(name, "--help")
    assert out == cli.done("help", name)
    assert f"calicoctl {name}" in out
    assert "Usage:" in out
    assert not COMMANDS[name].summary or "Examples:" in out


def test_help_is_given_among_other_words_too(cli) -> None:
    assert cli.done("profile", "web", "rule", "add", "--help") == cli.done("profile", "-h")


@pytest.mark.parametrize(
    ("typed", "meant"), [("profil", "profile"), ("pools", "pool"), ("shownodes", "endpoint show")]
)
def test_a_mistyped_or_former_command_is_refused_with_the_right_one(cli, typed, meant) -> None:
    err = cli.refused(typed, "show")
    assert f"no command `{typed}`" in err
    assert f"hint: did you mean `calicoctl {meant}`?" in err


def test_an_option_instead_of_a_command_is_refused(cli) -> None:
    assert "error: calicoctl has no option `--xyzzy`" in cli.refused("--xyzzy")


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_takes_no_option_that_it_does_not_know(cli, name) -> None:
    err = cli.refused(name, "--xyzzy")
    assert err.startswith("error: there is no option `--xyzzy`\n")
    assert f"calicoctl {name}" in err


def test_a_command_like_no_other_points_to_the_help(cli) -> None:
    assert "hint: `calicoctl --help` lists the commands" in cli.refused("xyzzy")


def test_former_commands_lead_to_commands_that_exist() -> None:
    assert {meant.split()[0] for meant in FORMER.values()} <= set(COMMANDS)
    assert not set(FORMER) & set(COMMANDS)


def test_an_error_ends_with_its_message_its_hint_and_its_code(cli) -> None:
    finished = cli.run("profile", "web", "rule", "show")
    assert finished.exit == 1
    assert finished.out == ""
    assert finished.err == (
        "error: profile web does not exist\nhint: `calicoctl profile show` lists the profiles\n"
    )


def test_who_is_not_root_is_told_so_with_a_code_of_its_own() -> None:
    finished = Cli(user=NOT_ROOT).run("container", "add", "web", "192.168.1.1")
    assert finished.exit == 2
    assert "must be run as root" in finished.err
    assert "hint: try it with sudo" in finished.err


def failing(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(main, "_dispatch", fail)


def test_T4_an_error_inside_a_command_is_no_reason_to_show_the_help(cli, monkeypatch) -> None:
    failing(AttributeError("oops"), monkeypatch)
    finished = cli.run("pool", "show")
    assert (finished.exit, finished.out) == (1, "")
    assert finished.err.startswith("error: this is a bug in calicoctl: AttributeError: oops\n")
    assert "Usage:" not in finished.err


def test_an_unexpected_error_is_owned_up_to_without_a_traceback(cli, monkeypatch) -> None:
    failing(ZeroDivisionError("oops"), monkeypatch)
    finished = cli.run("version")
    assert finished.exit == 1
    assert "this is a bug in calicoctl: ZeroDivisionError: oops" in finished.err
    assert "CALICO_DEBUG=1" in finished.err
    assert "Traceback" not in finished.err


@pytest.mark.parametrize("error", [ZeroDivisionError("oops"), PrivilegeRequired("not you")])
def test_debugging_shows_where_an_error_happened(cli, monkeypatch, error) -> None:
    failing(error, monkeypatch)
    err = cli.run("version", debug=True).err
    assert "Traceback" in err
    assert str(error) in err
    assert "in fail" in err


def test_an_interrupt_is_quiet(cli, monkeypatch) -> None:
    failing(KeyboardInterrupt(), monkeypatch)
    finished = cli.run("version")
    assert (finished.exit, finished.out, finished.err) == (130, "", "")


def test_an_unreachable_etcd_is_one_sentence_and_a_hint(cli) -> None:
    cli.store.fail_with = "connection refused"
    finished = cli.run("pool", "show")
    assert finished.exit == 1
    assert "cannot reach etcd at memory:0 (connection refused)" in finished.err
    assert "hint: start etcd there, or set ETCD_AUTHORITY=<host>:<port>" in finished.err


def test_the_program_answers_version_whatever_the_environment_says() -> None:
    environment = {"ETCD_AUTHORITY": "", "DOCKER_HOST": "nonsense", "CALICO_NETWORKING": "x"}
    for words in (["version"], ["--version"]):
        done = program(*words, **environment)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{__version__}\n", "")


@pytest.mark.parametrize("words", [["--quiet", "version"], ["version", "--quiet"]])
def test_quiet_may_stand_before_a_command_and_after_it(words) -> None:
    done = program(*words)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{__version__}\n", "")


def test_quiet_after_two_dashes_is_a_word() -> None:
    done = program("complete", "--", "profile", "show", "--quie")
    assert done.stdout == "--quiet\n"
    assert program("profile", "show", "--", "--quiet", "--quiet").returncode == 1


def test_the_program_names_a_bad_etcd_authority_only_when_it_needs_etcd() -> None:
    done = program("profile", "show", ETCD_AUTHORITY="nonsense")
    assert done.returncode == 1
    assert "invalid ETCD_AUTHORITY 'nonsense': expected <host>:<port>" in done.stderr
    assert program("profile", "--help", ETCD_AUTHORITY="nonsense").returncode == 0


def test_the_version_needs_none_of_the_heavy_packages() -> None:
    script = (
        "import sys; from calico_ctl import main; main.main(['version']);"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    version, loaded = done.stdout.splitlines()
    assert version == __version__
    assert not HEAVY & set(loaded.split())


LEAVING = "import calicoctl; print('said', end='')\n{before}\ncalicoctl.leave(3)"
THREAD = """
from threading import Event, Thread
begun, main = Event(), __import__("threading").main_thread()
def finish():
    begun.set()
    main.join()
    print(" and done", end="")
Thread(target=finish).start()
begun.wait()
"""


@pytest.mark.parametrize(
    ("before", "printed"),
    [("", "said"), (THREAD, "said and done"), ("import sys; sys.stderr = None", "said")],
)
def test_what_was_said_and_begun_is_finished_before_the_process_ends(before, printed) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEAVING.format(before=before)],
        env={},
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, printed)


def test_a_reader_that_goes_away_is_no_error() -> None:
    line = f"{sys.executable} {CHECKOUT / 'calicoctl.py'} --help | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_bytes_that_no_terminal_can_show_are_no_bug() -> None:
    done = subprocess.run(
        [sys.executable, CHECKOUT / "calicoctl.py", b"\xff\xfe"],
        env={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert b"has no command" in done.stderr
    assert b"Traceback" not in done.stderr
