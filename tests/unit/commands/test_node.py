"""The node command's words; what it does is shown in tests/system/test_node.py."""

import pytest

from calico_ctl import settings
from calico_ctl.console import Console
from calico_ctl.main import run
from calico_ctl.wiring import RealPlatform
from tests.support.cli import NOT_ROOT, ROOT


def outcome(capsys, *words: str, user: int = ROOT, **environment: str) -> tuple[int, str]:
    platform = RealPlatform(settings.read(environment))
    code = run(["node", *words], platform, Console(user), debug=False)
    return code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--ip=fd99::1", "--ip"),
        ("--ip=0.0.0.0", "--ip"),
        ("--ip=127.0.0.1", "--ip"),
        ("--ip6=10.0.0.1", "--ip6"),
        ("--ip6=fe80::1", "--ip6"),
        ("--as=4294967296", "AS number"),
        ("--detach=yes", "--detach"),
        ("--log-dir=logs", "absolute path"),
    ],
)
def test_a_bad_option_is_named_before_anything_is_touched(capsys, option, message):
    code, err = outcome(capsys, option)
    assert code == 1
    assert message in err


def test_a_bad_etcd_authority_is_named(capsys):
    code, err = outcome(capsys, ETCD_AUTHORITY="nowhere")
    assert code == 1
    assert "ETCD_AUTHORITY" in err


@pytest.mark.parametrize("words", [["--ip=10.0.0.1"], ["stop"], ["stop", "--force"]])
def test_only_root_starts_and_stops(capsys, words):
    code, err = outcome(capsys, *words, user=NOT_ROOT)
    assert code == 2
    assert "root" in err
