"""From collected texts to an archive that can be unpacked, and its list."""

import io
import tarfile
from datetime import UTC, datetime

from calico_ctl.diagnostics import bundle
from calico_ctl.diagnostics.bundle import Item
from calico_ctl.diagnostics.collector import Collected, Evidence

NOW = datetime(2026, 3, 1, 12, 30, 5, tzinfo=UTC)
SECRET = "hunter2-s3cr3t"


def collected(name: str, text: str, *secrets: str, failure: str = "") -> Collected:
    return Collected(name, Evidence({name: text}, frozenset(secrets)), failure)


def unpacked(content: bytes) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        found = {}
        for entry in archive:
            file = archive.extractfile(entry)
            assert file is not None
            assert entry.mode == 0o600
            found[entry.name] = file.read().decode()
        return found


def test_the_name_says_where_and_when_and_can_be_a_path():
    assert bundle.name("host1", NOW, "ab12") == "diags-host1-20260301-123005-ab12"
    assert bundle.name("a/b c", NOW, "x") == "diags-a_b_c-20260301-123005-x"


def test_everything_is_in_one_folder_with_a_list_of_it():
    made = bundle.pack("d", [collected("system/date", "now\n"), collected("logs/a", "")], [])
    files = unpacked(made.content)
    assert files == {
        "d/contents": "system/date  4 B\nlogs/a       0 B\n",
        "d/system/date": "now\n",
        "d/logs/a": "",
    }
    assert list(made.items) == [Item("system/date", 4), Item("logs/a", 0)]


def test_a_secret_that_one_collector_saw_is_in_no_file():
    files = [
        collected("logs/a", f"it says {SECRET}\n"),
        collected("etcd", "x", SECRET),
        collected("bird", "y", failure=f"cannot read {SECRET}"),
    ]
    made = bundle.pack("d", files, ["another-one"])
    assert SECRET not in str(unpacked(made.content))
    assert SECRET not in str(bundle.listed(made.items))
    assert unpacked(made.content)["d/logs/a"] == "it says <redacted>\n"


def test_the_list_says_what_could_not_be_had():
    items = [Item("a", 1, "no etcd"), Item("bb", 3000), Item("c", 5 << 20)]
    assert bundle.listed(items) == ["a   not collected: no etcd", "bb  3 KiB", "c   5.0 MiB"]
    assert bundle.listed([]) == []
