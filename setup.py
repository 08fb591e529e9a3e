"""What pyproject.toml cannot say: the package carries what the node image is built from."""

import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

CHECKOUT = Path(__file__).parent
sys.path.insert(0, str(CHECKOUT))

from calico_ctl.docker_api import build_context  # noqa: E402 - found from the checkout


class BuildWithContext(build_py):
    """Adds the packed build context to the modules."""

    def run(self) -> None:
        """Build, then pack."""
        super().run()
        packed = Path(self.build_lib) / "calico_ctl" / build_context.PACKED
        packed.write_bytes(build_context.packed(CHECKOUT))


setup(cmdclass={"build_py": BuildWithContext})
