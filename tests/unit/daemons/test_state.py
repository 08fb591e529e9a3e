"""The agent's state is told by the thread that decides, to whoever asks."""

import json
import queue
import tempfile
import threading
from pathlib import Path

from calico_ctl.daemons import state
from calico_ctl.daemons.runtime import Stopping
from calico_ctl.host import local_answers
from calico_ctl.policy.ruleset import Chain, Ruleset, Set, VerdictMap
from tests.support import command

PATIENCE = 60.0
TABLE = Ruleset(
    {"a": Chain(("accept", "drop"))},
    {"s": Set("ipv4_addr", frozenset({"10.0.0.1"}))},
    {"m": VerdictMap({"cali1": "goto a"})},
)


def test_a_question_is_answered_in_the_thread_that_decides(monkeypatch):
    monkeypatch.setattr(local_answers, "_LOOK_SECONDS", 0.02)
    # The path of a socket must not be long.
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        answer_one(Path(folder) / "felix.sock")


def answer_one(path: Path) -> None:
    inbox: queue.Queue[object] = queue.Queue()
    stopping = Stopping()
    listener = threading.Thread(target=state.run, args=(path, inbox.put, stopping))
    listener.start()
    try:
        command.wait_until(path.exists, 9, "it listens")
        found: list[str] = []
        asker = threading.Thread(target=lambda: found.append(local_answers.ask(path, PATIENCE)))
        asker.start()
        state.answer([object(), inbox.get(timeout=PATIENCE)], lambda: {"endpoints": 3})
        asker.join(PATIENCE)
    finally:
        stopping.set()
        listener.join(PATIENCE)
    assert json.loads(found[0]) == {"endpoints": 3}


def test_how_it_is_is_told_without_the_thread_that_decides(monkeypatch):
    monkeypatch.setattr(local_answers, "_LOOK_SECONDS", 0.02)
    stopping = Stopping()
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        path = Path(folder) / "report.sock"
        args = (path, lambda: "well", lambda message: None, stopping)
        listener = threading.Thread(target=state.run_report, args=args)
        listener.start()
        try:
            command.wait_until(path.exists, 9, "it listens")
            assert local_answers.ask(path, PATIENCE) == "well"
        finally:
            stopping.set()
            listener.join(PATIENCE)


def test_an_agent_that_hangs_is_said_to(monkeypatch):
    monkeypatch.setattr(state, "_SECONDS_TO_DECIDE", 0.05)
    assert "did not answer within 0.05 s" in state._asked(lambda message: None)


def test_without_a_socket_the_agent_goes_on(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    stopping = Stopping()
    args = (tmp_path / "file/felix.sock", lambda message: None, stopping)
    listener = threading.Thread(target=state.run, args=args)
    listener.start()
    command.wait_until(lambda: "will not be told" in caplog.text, 9, "it says so")
    assert listener.is_alive()
    stopping.set()
    listener.join(PATIENCE)
    assert not listener.is_alive()


def test_a_table_is_described_by_the_sizes_of_its_parts():
    found = dict(state.described(TABLE))
    digest = found.pop("digest")
    assert found == {"chains": {"a": 2}, "sets": {"s": 1}, "maps": {"m": 1}}
    assert digest == state.described(Ruleset(TABLE.chains, TABLE.sets, TABLE.maps))["digest"]


def test_any_difference_changes_the_digest():
    others = [
        Ruleset({"a": Chain(("drop", "accept"))}, TABLE.sets, TABLE.maps),
        Ruleset(TABLE.chains, {"s": Set("ipv4_addr", frozenset({"10.0.0.2"}))}, TABLE.maps),
        Ruleset(TABLE.chains, TABLE.sets, {"m": VerdictMap({"cali1": "drop"})}),
    ]
    digests = {str(state.described(each)["digest"]) for each in [TABLE, *others]}
    assert len(digests) == 4
