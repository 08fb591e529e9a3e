import logging

from calico_ctl import logs


def test_daemons_log_one_line_with_level_and_room_to_stderr(capsys, monkeypatch) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    logs.to_stderr()
    logging.getLogger("calico_ctl.daemons.felix").info("applied %d rules", 3)
    logging.getLogger("calico_ctl.daemons.felix").debug("nobody asked")
    assert capsys.readouterr() == ("", "INFO calico_ctl.daemons.felix: applied 3 rules\n")
