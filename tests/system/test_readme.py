"""The README's demo does what the README shows."""

import re
import sys

import pytest

from tests.support import command
from tests.support.paths import CHECKOUT

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]


def test_the_demo_ends_well_and_prints_every_line_that_the_readme_shows() -> None:
    environment = command.clean_environment({"PYTHONPATH": str(CHECKOUT)})
    demo = [sys.executable, str(CHECKOUT / "scripts" / "demo.py"), "show"]
    printed = command.run(demo, env=environment, timeout=800).out.splitlines()
    readme = (CHECKOUT / "README.md").read_text()
    block = next(text for text in readme.split("```") if "host1$ sudo calicoctl node" in text)
    shown = [line for line in block.splitlines() if line and not line.startswith("All as it")]
    assert len(shown) > 15
    assert [line for line in shown if line not in printed] == []
    assert re.fullmatch(r"All as it should be \([0-9]+ s\)\.", printed[-1])
