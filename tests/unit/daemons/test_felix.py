"""What the policy agent does first, so that nobody waits for it longer than need be."""

import sys

from tests.support import command
from tests.support.paths import CHECKOUT

PROGRAM = """
import sys
from calico_ctl.daemons import felix
print(sorted(each for each in sys.modules if each.startswith("calico_ctl.dataplane")))
"""


def test_what_needs_the_kernel_is_imported_while_etcd_puts_its_answer_together():
    environment = command.clean_environment({"PYTHONPATH": str(CHECKOUT)})
    imported = command.run([sys.executable, "-c", PROGRAM], env=environment).out
    assert imported == "[]\n"
