import pytest
from netaddr import IPNetwork

from calico_ctl.errors import CalicoError, Conflict, InvalidValue, NotFound
from calico_ctl.model.pool import Pool
from calico_ctl.workload import manifest_files

POOL = "{{schema: 1, kind: pool, cidr: 10.{}.0.0/16}}\n"


def no_stdin() -> str:
    raise AssertionError("nobody was to read stdin")


def test_files_directories_and_stdin_make_one_whole_in_their_order(tmp_path) -> None:
    (tmp_path / "directory").mkdir()
    for path, number in (("last.yaml", 1), ("directory/b.yaml", 2), ("directory/a.yml", 3)):
        (tmp_path / path).write_text(POOL.format(number))
    words = [str(tmp_path / "directory"), "-", str(tmp_path / "last.yaml")]
    stated = manifest_files.read(words, lambda: POOL.format(4))
    assert [each.thing for each in stated] == [
        Pool(IPNetwork(f"10.{number}.0.0/16")) for number in (3, 2, 4, 1)
    ]
    assert stated[2].place == "stdin, document 1"
    assert stated[3].place == f"{tmp_path}/last.yaml, document 1"


def test_the_same_thing_in_two_files_is_refused(tmp_path) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(POOL.format(1))
    with pytest.raises(Conflict, match=r"b.yaml, document 1: pool 10.1.0.0/16 is stated already"):
        manifest_files.read([str(tmp_path)], no_stdin)


def test_a_directory_without_manifests_is_refused(tmp_path) -> None:
    (tmp_path / "README.md").touch()
    with pytest.raises(NotFound, match=r"has no file \*.yaml, \*.yml, \*.json"):
        manifest_files.read([str(tmp_path)], no_stdin)


def test_what_is_wrong_in_a_file_names_it(tmp_path) -> None:
    (tmp_path / "a.yaml").write_text("x: [")
    with pytest.raises(InvalidValue, match=r"a.yaml: invalid YAML on line"):
        manifest_files.read([str(tmp_path)], no_stdin)
    with pytest.raises(CalicoError, match=r"cannot read .*/absent.yaml"):
        manifest_files.read([str(tmp_path / "absent.yaml")], no_stdin)
