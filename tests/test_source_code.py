"""Real git repositories, and gits that misbehave."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from lit_hydra_bridge.errors import InvalidRecordError
from lit_hydra_bridge.record.redaction import Redactor
from lit_hydra_bridge.record.run_record import SourceCode, unpack_diff
from lit_hydra_bridge.record.source_code import Checkout, GitError, finished_source_code, read_checkout


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(autouse=True)
def own_git_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the developer's git settings nor those of a hook that runs the tests."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))


def repository(folder: Path) -> Path:
    folder.mkdir(parents=True)
    git(folder, "init", "-q")
    (folder / "train.py").write_text("a = 1\nb = 2\n", encoding="utf-8")
    (folder / "sub").mkdir()
    (folder / "sub/other.py").write_text("c = 3\n", encoding="utf-8")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return repository(tmp_path / "repo")


def read(folder: Path) -> Checkout:
    checkout = read_checkout(folder, time_limit_s=60)
    assert checkout is not None
    return checkout


def diff_of(source: SourceCode) -> str:
    assert source.diff is not None
    return unpack_diff(source.diff)


def test_no_repository(tmp_path: Path) -> None:
    assert read_checkout(tmp_path, time_limit_s=60) is None


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(GitError):
        read_checkout(tmp_path / "none", time_limit_s=60)


def test_no_commit_yet(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "new.py").write_text("", encoding="utf-8")
    git(tmp_path, "add", ".")
    checkout = read(tmp_path)
    assert (checkout.source.commit, checkout.source.branch, checkout.source.dirty) == (None, "main", True)
    assert checkout.diff == ""


def test_clean(repo: Path) -> None:
    source = read(repo).source
    assert source == SourceCode(commit=git(repo, "rev-parse", "HEAD"), branch="main", root=str(repo), dirty=False)
    assert finished_source_code(read(repo), Redactor({})) == source


def test_detached_head(repo: Path) -> None:
    git(repo, "checkout", "-q", "--detach")
    source = read(repo).source
    assert source.branch is None
    assert source.commit == git(repo, "rev-parse", "HEAD")


def change_everything(repo: Path) -> None:
    (repo / "train.py").write_text("a = 1\nb = 22\n", encoding="utf-8")
    (repo / "staged.py").write_text("s = 1\n", encoding="utf-8")
    git(repo, "add", "staged.py")
    git(repo, "mv", "sub/other.py", "sub/moved.py")
    (repo / "new ü.txt").write_text("not read\n", encoding="utf-8")
    (repo / "blob").write_bytes(bytes(range(256)))
    git(repo, "add", "blob")


@pytest.mark.parametrize("below", [".", "sub"])
def test_changes_of_every_kind_can_be_applied_again(repo: Path, tmp_path: Path, below: str) -> None:
    git(repo, "config", "diff.noprefix", "true")
    git(repo, "config", "color.ui", "always")
    git(repo, "config", "diff.external", "false")
    change_everything(repo)
    (repo / "sub/untracked.py").write_text("", encoding="utf-8")
    source = finished_source_code(read(repo / below), Redactor({}))
    assert source.dirty
    assert sorted(source.untracked) == ["new ü.txt", "sub/untracked.py"]
    assert source.root == str(repo)
    diff = diff_of(source)
    assert "not read" not in diff
    assert "+b = 22" in diff
    git(repo, "rm", "-q", "-f", "blob")  # a binary file's content is not in a diff
    text_only = diff_of(finished_source_code(read(repo / below), Redactor({})))
    assert source.commit is not None
    fresh = tmp_path / "fresh"
    git(tmp_path, "clone", "-q", str(repo), str(fresh))
    git(fresh, "checkout", "-q", source.commit)
    subprocess.run(["git", "apply"], cwd=fresh, input=text_only, text=True, check=True)
    assert (fresh / "train.py").read_text() == "a = 1\nb = 22\n"
    assert (fresh / "sub/moved.py").read_text() == "c = 3\n"
    assert not (fresh / "sub/other.py").exists()


def test_untracked_alone_is_named_and_not_dirty(repo: Path) -> None:
    (repo / "new.txt").write_text("x", encoding="utf-8")
    source = finished_source_code(read(repo), Redactor({}))
    assert (source.dirty, source.untracked, source.diff) == (False, ["new.txt"], None)


def test_deleted(repo: Path) -> None:
    (repo / "train.py").unlink()
    assert "deleted file" in diff_of(finished_source_code(read(repo), Redactor({})))


@pytest.mark.parametrize("name", ["with space", "ünï=cødé", "new\nline", " edge ", "-dash"])
def test_odd_paths(tmp_path: Path, name: str) -> None:
    repo = repository(tmp_path / name)
    (repo / "train.py").write_text("a = 3\n", encoding="utf-8")
    checkout = read(repo / "sub")
    assert checkout.source.root == str(repo)
    assert "+a = 3" in checkout.diff


def test_a_path_that_is_no_text(tmp_path: Path) -> None:
    repo = repository(tmp_path / os.fsdecode(b"latin-\xfc"))
    (repo / "train.py").write_text("a = 3\n", encoding="utf-8")
    assert "+a = 3" in read(repo / "sub").diff


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://me:hunter2@example.org/x.git", "https://<redacted>@example.org/x.git"),
        ("https://hunter2@example.org/x.git", "https://<redacted>@example.org/x.git"),
        ("https://me:hun@ter2@example.org/x.git", "https://<redacted>@example.org/x.git"),
        ("https://example.org/x.git?access_token=hunter2", "https://example.org/x.git?access_token=<redacted>"),
        ("git@example.org:me/x.git", "git@example.org:me/x.git"),
        ("../there", "../there"),
    ],
)
def test_a_remote_without_its_credentials(repo: Path, url: str, kept: str) -> None:
    git(repo, "remote", "add", "origin", url)
    assert finished_source_code(read(repo), Redactor({})).remote == kept


def test_a_diff_can_be_left_out(repo: Path) -> None:
    change_everything(repo)
    source = finished_source_code(read(repo), Redactor({}), diff=False)
    assert (source.dirty, source.diff, source.diff_cut) == (True, None, False)


def test_a_long_diff_is_cut_at_a_line_and_says_so(repo: Path) -> None:
    lines = [f"x{i} = '{os.urandom(12).hex()}'\n" for i in range(20_000)]
    (repo / "train.py").write_text("".join(lines), encoding="utf-8")
    checkout = read(repo)
    source = finished_source_code(checkout, Redactor({}), diff_limit_kib=16)
    kept = diff_of(source)
    assert source.diff_cut
    assert source.diff is not None and 8 * 1024 < len(source.diff) <= 16 * 1024
    assert kept.endswith("\n") and checkout.diff.startswith(kept)
    none = finished_source_code(checkout, Redactor({}), diff_limit_kib=0)
    assert (none.diff, none.diff_cut) == (None, True)


def test_more_than_is_ever_redacted_is_cut_at_a_line_too() -> None:
    diff = "diff --git a/x.yaml b/x.yaml\n@@ -1 +1 @@\n" + "+password: hunter2\n" * 200_000
    kept = diff_of(finished_source_code(Checkout(SourceCode(), diff), Redactor({})))
    assert kept.endswith("+password: <redacted>\n")
    assert "hunter2" not in kept


def test_the_diff_is_redacted(repo: Path) -> None:
    (repo / "train.py").write_text("a = 1\npassword = 'hunter2'\n", encoding="utf-8")
    kept = diff_of(finished_source_code(read(repo), Redactor({})))
    assert "password" in kept
    assert "hunter2" not in kept


def test_a_hooks_variables_mean_another_repository(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = repository(tmp_path / "other")
    for name, value in {"GIT_DIR": ".git", "GIT_WORK_TREE": "", "GIT_INDEX_FILE": ".git/none"}.items():
        monkeypatch.setenv(name, str(other / value))
    source = read(repo).source
    assert (source.root, source.dirty) == (str(repo), False)


def fake_git(folder: Path, body: str) -> Path:
    folder.mkdir()
    script = folder / "git"
    script.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    script.chmod(0o755)
    return folder


def processes_with(marker: str) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().decode("utf-8", "replace")
            except OSError:
                continue
            if marker in command:
                found.append(command)
    return found


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("body", ["sleep {n} & sleep {n}", "sleep {n} & sleep {n} & exit 0", "trap '' TERM; sleep {n}"])
def test_a_git_that_hangs_is_ended_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    marker = f"600.{os.getpid()}{time.monotonic_ns()}"
    monkeypatch.setenv("PATH", f"{fake_git(tmp_path / 'bin', body.format(n=marker))}:{os.environ['PATH']}")
    with pytest.raises(GitError, match="in time"):
        read_checkout(tmp_path, time_limit_s=0.5)
    deadline = time.monotonic() + 20
    while processes_with(marker) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert processes_with(marker) == []


def test_a_child_that_left_the_session_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = f"setsid sh -c 'echo $$ > {tmp_path}/pid; exec sleep 600' & sleep 600"
    monkeypatch.setenv("PATH", f"{fake_git(tmp_path / 'bin', body)}:{os.environ['PATH']}")
    try:
        with pytest.raises(GitError, match="in time"):
            read_checkout(tmp_path, time_limit_s=1)
    finally:
        os.kill(int((tmp_path / "pid").read_text()), 9)


@pytest.mark.parametrize(
    "body", ["exit 1", "echo boom >&2; exit 3", "head -c 4000 /dev/urandom", "yes nonsense | head -20", "kill -9 $$"]
)
def test_a_git_that_answers_nonsense(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    monkeypatch.setenv("PATH", f"{fake_git(tmp_path / 'bin', body)}:{os.environ['PATH']}")
    with pytest.raises(GitError):
        read_checkout(tmp_path, time_limit_s=30)


def test_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitError, match="not installed"):
        read_checkout(tmp_path, time_limit_s=30)


def test_garbage_is_no_diff() -> None:
    with pytest.raises(InvalidRecordError):
        unpack_diff("garbage")
