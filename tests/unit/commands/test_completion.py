import shutil
import subprocess

import pytest

from tests.support.cli import Cli


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_of_that_shell(shell) -> None:
    script = Cli().done("completion", shell)
    assert "complete -- " in script
    program = shutil.which(shell)
    assert program is not None, f"scripts/setup installs {shell}"
    done = subprocess.run(
        [program, "-n"], input=script, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_another_shell_is_refused_with_those_that_are_known() -> None:
    assert "expected bash, zsh or fish" in Cli().refused("completion", "tcsh")
