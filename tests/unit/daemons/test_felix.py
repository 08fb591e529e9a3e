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


ASKING = """
import sys
from calico_ctl.daemons import felix
from calico_ctl.model import etcd_access
from calico_ctl.wiring import RealPlatform
from calico_ctl import settings
RealPlatform(settings.read()).store
from calico_ctl.datastore import etcd, follow
print("netaddr" in sys.modules)
"""


def test_etcd_is_asked_before_addresses_can_be_read():
    settings = {"PYTHONPATH": str(CHECKOUT), "ETCD_AUTHORITY": "10.99.0.1:2379", "ETCD_API": "2"}
    environment = command.clean_environment(settings)
    assert command.run([sys.executable, "-c", ASKING], env=environment).out == "False\n"
