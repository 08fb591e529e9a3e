"""The floor plan holds: imports go down only, and each outside thing has one door."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def test_imports_keep_to_the_floor_plan():
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [program, "--no-cache"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_floor_plan_that_people_read_is_the_one_that_is_kept():
    """Rooms that share a floor stand beside each other in both."""
    plan = (CHECKOUT / "CONTRIBUTING.md").read_text().split("```")[3]
    told = [re.findall(r"[a-z_]+", line.partition("  ")[0]) for line in bare(plan)]
    tools = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]
    kept = tools["importlinter"]["contracts"][0]["layers"]
    assert told == [re.findall(r"calico_ctl\.([a-z_]+)", layer) for layer in kept]


def bare(plan: str) -> list[str]:
    return [line.strip(" └") for line in plan.splitlines() if line]


def test_where_a_new_thing_goes_is_there():
    text = (CHECKOUT / "CONTRIBUTING.md").read_text()
    table = text.partition("## Where a new thing goes")[2].partition("\n## ")[0]
    for row in table.splitlines():
        named = re.findall(r"`((?:[\w-]+/)*(?:[\w-]+\.(?:py|md|txt)|(?<=/)))`", row)
        rooms = {str(Path(name).parent) for name in named}
        for name in named:
            assert any(place(name, room).exists() for room in ("", *rooms)), name


def place(name: str, room: str) -> Path:
    """A file that is named with its room, or by itself after another one of that room."""
    inside = CHECKOUT / "calico_ctl" / room / name
    return inside if inside.exists() else CHECKOUT / name
