import logging

import pytest

from calico_ctl import logs


@pytest.fixture
def clean_root_logger():
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers = []
    yield
    root.handlers = before
    root.setLevel(level)


@pytest.mark.usefixtures("clean_root_logger")
def test_daemons_log_one_line_with_level_and_room_to_stderr(capsys) -> None:
    logs.to_stderr()
    logging.getLogger("calico_ctl.daemons.felix").info("applied %d rules", 3)
    logging.getLogger("calico_ctl.daemons.felix").debug("nobody asked")
    assert capsys.readouterr() == ("", "INFO calico_ctl.daemons.felix: applied 3 rules\n")
