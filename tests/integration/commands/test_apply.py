"""Policy as code on a real etcd, with real processes: apply, diff, export."""

from concurrent.futures import ThreadPoolExecutor

POLICY = """
schema: 1
kind: pool
cidr: 10.65.0.0/16
nat_outgoing: true
---
schema: 1
kind: profile
name: db
tags: [db, no, 012]
rules:
  inbound:
    - allow tcp from tag web to ports 5432
    - {action: deny, protocol: udp, dst_ports: [20:21]}
  outbound: []
---
{"schema": 1, "kind": "profile", "name": "web", "tags": ["web"],
 "rules": {"inbound": ["allow tcp to ports 80,443"], "outbound": ["allow"]}}
"""


def test_a_file_is_applied_compared_and_exported(shell, tmp_path) -> None:
    policy, exported = tmp_path / "policy.yaml", tmp_path / "exported.yaml"
    policy.write_text(POLICY)
    fresh = shell.run(f"diff -f {policy}")
    assert (fresh.exit, fresh.err) == (1, "")
    assert "+++ profile web (" in fresh.out
    assert "profile db created (dry run)" in shell.done(f"apply -f {policy} --dry-run")
    assert shell.done(f"apply -f {policy}") == (
        "pool 10.65.0.0/16 created\nprofile db created\nprofile web created\n"
    )
    assert shell.done(f"diff -f {policy}") == ""
    exported.write_text(shell.done("export"))
    shell.done("profile web tag add x")
    changed = shell.run(f"diff -f {exported}")
    assert (changed.exit, changed.err) == (1, "")
    assert "-  x" in changed.out.splitlines()
    assert shell.done(f"apply -f {exported}") == (
        "pool 10.65.0.0/16 unchanged\nprofile db unchanged\nprofile web changed\n"
    )


def test_whatever_is_exported_is_unchanged(shell, tmp_path) -> None:
    shell.done("apply -f -", stdin=POLICY)
    for number, line in enumerate(("all", "profile web --output=json", "pool 10.65.0.0/16")):
        suffix = "json" if "json" in line else "yaml"
        (tmp_path / f"{number}.{suffix}").write_text(shell.done(f"export {line}"))
    files = [f"-f {tmp_path}/{name}" for name in ("1.json", "2.yaml")]
    assert shell.done(f"apply {' '.join(files)}") == (
        "pool 10.65.0.0/16 unchanged\nprofile web unchanged\n"
    )
    assert shell.done(f"diff -f {tmp_path}/0.yaml") == ""


def test_one_wrong_document_and_nothing_is_written(shell, tmp_path) -> None:
    for number, text in enumerate((POLICY, POLICY.replace("[db,", "[a b,"))):
        (tmp_path / f"{number}.yaml").write_text(text)
    err = shell.refused(f"apply -f {tmp_path}")
    assert f"error: {tmp_path}/1.yaml, document 2: tags[1]: invalid tag 'a b'" in err
    assert shell.done("export") == ""


def test_several_at_once_make_what_one_makes(shell, tmp_path) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY)
    line = f"apply -f {tmp_path}/policy.yaml"
    with ThreadPoolExecutor() as pool:
        ended = list(pool.map(shell.run, [line] * 3))
    assert [(each.exit, each.err) for each in ended] == [(0, "")] * 3
    assert shell.done(f"diff -f {tmp_path}/policy.yaml") == ""


def test_text_beyond_ascii_is_read_in_the_c_locale(shell, tmp_path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_bytes("# Zugänge ↔\n".encode() + POLICY.encode())
    text = policy.read_text("utf-8")
    assert "profile web created" in shell.done("apply -f -", stdin=text, LC_ALL="C", LANG="C")
    assert shell.done(f"diff -f {policy}", LC_ALL="C", LANG="C") == ""
