"""When the guard looks first."""

import threading

from calico_ctl.daemons import guard
from calico_ctl.dataplane import docker_firewall
from calico_ctl.dataplane.nft_watch import NftWatch, Touched


class Agent(threading.Event):
    """An agent that has caught up when somebody waits for that."""

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None, "etcd may be away: nobody may wait for ever"
        self.set()
        return True


def test_the_first_look_waits_until_the_agent_has_caught_up(monkeypatch):
    agent, stopping, looks = Agent(), threading.Event(), []

    def look() -> int:
        looks.append(agent.is_set())
        stopping.set()
        return 0

    monkeypatch.setattr(docker_firewall, "ensure", look)
    monkeypatch.setattr(NftWatch, "wait", lambda *_: Touched())
    guard.run(NftWatch.__new__(NftWatch), agent, lambda _: None, stopping)
    assert looks == [True]
