"""Real git repositories, and gits that misbehave."""

from __future__ import annotations

import os
import random
import subprocess
import time
from pathlib import Path

import pytest

from lit_hydra_bridge.errors import InvalidRecordError
from lit_hydra_bridge.git import GitError
from lit_hydra_bridge.record.redaction import Redactor
from lit_hydra_bridge.record.run_record import SourceCode, unpack_diff
from lit_hydra_bridge.record.source_code import Checkout, finished_source_code, read_checkout


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
    assert finished_source_code(checkout, Redactor({})).diff is None


def test_clean(repo: Path) -> None:
    source = read(repo).source
    assert source == SourceCode(commit=git(repo, "rev-parse", "HEAD"), branch="main", root=str(repo), dirty=False)
    assert finished_source_code(read(repo), Redactor({})) == source


def test_detached_head(repo: Path) -> None:
    git(repo, "checkout", "-q", "--detach")
    source = read(repo).source
    assert source.branch is None
    assert source.commit == git(repo, "rev-parse", "HEAD")


def restored(repo: Path, source: SourceCode, folder: Path) -> Path:
    """A fresh clone with the recorded diff applied, by a git without settings."""
    assert source.commit is not None and source.diff is not None
    git(repo.parent, "clone", "-q", str(repo), str(folder))
    git(folder, "checkout", "-q", source.commit)
    patch = diff_of(source).encode()
    subprocess.run(["git", "apply", "--allow-empty"], cwd=folder, input=patch, check=True, capture_output=True)
    return folder


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Each file's mode and bytes, and each link's target."""
    return {
        os.path.relpath(path, folder): (path.lstat().st_mode, os.fsencode(path.readlink()))
        if path.is_symlink()
        else (path.stat().st_mode, path.read_bytes())
        for path in folder.rglob("*")
        if ".git" not in path.parts and (path.is_symlink() or path.is_file())
    }


OLD: dict[str, bytes] = {
    "crlf.py": b"a\r\nb\r\n",
    "latin.py": "a\né\nb\n".encode("latin-1"),
    "blob": bytes(range(256)),
    "gone.bin": b"\0gone",
    'quo"te\t \n.txt': b"a\n",
    "mode.sh": b"#!/bin/sh\n",
    "file-or-link": b"x\n",
    os.fsdecode(b"\xfc b/x"): b"a\nb",
    "long.py": f"def {'é' * 60}():\n".encode() + b"    pass\n" * 20,
}
NEW: dict[str, bytes] = {
    "crlf.py": b"a\r\nB\r\n",
    "latin.py": "a\né\nbb\n".encode("latin-1"),
    "blob": bytes(reversed(range(256))),
    'quo"te\t \n.txt': b"\xff\xfea\0",
    os.fsdecode(b"\xfc b/x"): b"a\nc",
    "added.npy": os.urandom(500),
    "long.py": OLD["long.py"] + b"# end\n",
}


def change_everything(repo: Path) -> None:
    for name, content in OLD.items():
        (repo / name).parent.mkdir(exist_ok=True)
        (repo / name).write_bytes(content)
    git(repo, "add", ".")
    git(repo, "commit", "-qm", "second")
    for name, content in NEW.items():
        (repo / name).write_bytes(content)
    (repo / "gone.bin").unlink()
    (repo / "mode.sh").chmod(0o755)
    (repo / "file-or-link").unlink()
    (repo / "file-or-link").symlink_to(os.fsdecode(b"to \xff"))
    (repo / "train.py").write_text("a = 1\nb = 22\n", encoding="utf-8")
    git(repo, "mv", "sub/other.py", "sub/moved.py")
    git(repo, "add", ".")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"diff.noprefix": "true", "color.ui": "always", "diff.external": "false", "diff.relative": "true"},
        {"diff.context": "0", "diff.renames": "false", "core.quotePath": "false", "diff.orderFile": "none"},
        {"diff.mnemonicPrefix": "true", "diff.renames": "copies", "diff.algorithm": "patience"},
        {"core.attributesFile": "/dev/null", "diff.suppressBlankEmpty": "true", "core.autocrlf": "input"},
    ],
)
def test_changes_of_every_kind_give_the_same_bytes_again(repo: Path, tmp_path: Path, settings: dict[str, str]) -> None:
    change_everything(repo)
    for key, value in settings.items():
        git(repo, "config", key, value)
    (repo / "sub/untracked.py").write_text("not read", encoding="utf-8")
    source = finished_source_code(read(repo / "sub"), Redactor({}))
    assert (source.dirty, source.untracked, source.root) == (True, ["sub/untracked.py"], str(repo))
    assert (source.diff_gaps, source.diff_cut) == ([], False)
    assert "+b = 22" in diff_of(source) and "not read" not in diff_of(source)
    fresh = restored(repo, source, tmp_path / "fresh")
    (repo / "sub/untracked.py").unlink()
    assert tree(fresh) == tree(repo)


@pytest.mark.parametrize("attributes", ["*.py diff=python text", "* text=auto", "* -text", "*.py -diff", "* diff"])
def test_random_edits_of_random_bytes(repo: Path, tmp_path: Path, attributes: str) -> None:
    chance = random.Random(attributes)
    pieces = [b"a\n", b"b\r\n", b"\xe9\n", b"\0", b"end", b"\xff\xfe", b"\x0c\n", b"@@ -1 +1 @@\n", b"--- a/x\n", b"\r"]
    (repo / ".gitattributes").write_text(attributes + "\n", encoding="utf-8")
    names = [f"file{i}.{kind}" for i in range(12) for kind in ("py", "txt")]
    for name in names:
        (repo / name).write_bytes(b"".join(chance.choices(pieces, k=8)))
    git(repo, "add", ".")
    git(repo, "commit", "-qm", "second")
    edited = tmp_path / "edited"
    git(tmp_path, "clone", "-q", str(repo), str(edited))  # with line endings as git checks them out
    for name in names[::2]:
        before = (edited / name).read_bytes().splitlines(keepends=True)
        before[chance.randrange(len(before)) :] = chance.choices(pieces, k=3)
        (edited / name).write_bytes(b"".join(before))
    source = finished_source_code(read(edited), Redactor({}))
    fresh = restored(edited, source, tmp_path / "fresh")
    differing = {name for name in names if (fresh / name).read_bytes() != (edited / name).read_bytes()}
    assert differing <= {gap.partition(":")[0] for gap in source.diff_gaps}
    assert len(source.diff_gaps) < len(names) // 4


def test_what_can_not_be_recorded_is_named_and_the_rest_applies(repo: Path, tmp_path: Path) -> None:
    (repo / "weights.bin").write_bytes(b"\0")
    (repo / "conf.yaml").write_text("lr: 1\npassword: old\n", encoding="utf-8")
    (repo / "latin.ini").write_bytes(b"\xe9\n")
    git(repo, "add", ".")
    git(repo, "commit", "-qm", "second")
    (repo / "weights.bin").write_bytes(os.urandom(200_000))
    (repo / "conf.yaml").write_text("lr: 2\npassword: old\n", encoding="utf-8")
    (repo / "latin.ini").write_bytes(b"\xe9\npassword: hunter2\n")
    (repo / "train.py").write_text("a = 3\n", encoding="utf-8")
    source = finished_source_code(read(repo), Redactor({}))
    assert source.diff_gaps == [
        "conf.yaml: secrets in it were redacted",
        "latin.ini: secrets in it were redacted",
        "weights.bin: longer than the limit",
    ]
    assert source.diff_cut
    assert "+lr: 2" in diff_of(source), "a person can still read it"
    assert "hunter2" not in diff_of(source)
    assert (restored(repo, source, tmp_path / "fresh") / "train.py").read_text() == "a = 3\n"
    assert (tmp_path / "fresh/conf.yaml").read_text() == "lr: 1\npassword: old\n"


def test_what_a_filter_changes_is_named(repo: Path) -> None:
    (repo / ".gitattributes").write_text("*.py filter=upper\n", encoding="utf-8")
    git(repo, "config", "filter.upper.clean", "tr a-z A-Z")
    (repo / "train.py").write_text("a = 3\n", encoding="utf-8")
    (gap,) = [gap for gap in finished_source_code(read(repo), Redactor({})).diff_gaps if "train.py" in gap]
    assert "filter" in gap


def test_an_edited_submodule_is_named(repo: Path, tmp_path: Path) -> None:
    library = repository(tmp_path / "library")
    git(repo, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library), "lib")
    git(repo, "commit", "-qm", "with a library")
    (repo / "lib/left.txt").write_text("not tracked there", encoding="utf-8")
    assert finished_source_code(read(repo), Redactor({})).dirty is False
    (repo / "lib/train.py").write_text("a = 4\n", encoding="utf-8")
    for how in ("edited", "committed"):
        (repo / "train.py").write_text("a = 3\n", encoding="utf-8")
        source = finished_source_code(read(repo), Redactor({}))
        assert [gap.partition(",")[0] for gap in source.diff_gaps] == ["lib: a submodule"], how
        assert (restored(repo, source, tmp_path / how) / "train.py").read_text() == "a = 3\n"
        git(repo / "lib", "commit", "-q", "--allow-empty", "-am", "in the library")


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
    assert "+a = 3" in diff_of(finished_source_code(checkout, Redactor({})))


def test_a_path_that_is_no_text(tmp_path: Path) -> None:
    repo = repository(tmp_path / os.fsdecode(b"latin-\xfc"))
    (repo / "train.py").write_text("a = 3\n", encoding="utf-8")
    assert "+a = 3" in diff_of(finished_source_code(read(repo / "sub"), Redactor({})))


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


def test_a_long_diff_is_left_out_and_says_so(repo: Path) -> None:
    lines = [f"x{i} = '{os.urandom(12).hex()}'\n" for i in range(20_000)]
    (repo / "train.py").write_text("".join(lines), encoding="utf-8")
    (repo / "sub/other.py").write_text("c = 4\n", encoding="utf-8")
    checkout = read(repo)
    source = finished_source_code(checkout, Redactor({}), diff_limit_kib=16)
    assert source.diff_cut and source.diff_gaps == ["train.py: longer than the limit"]
    assert source.diff is not None and len(source.diff) <= 16 * 1024
    assert "+c = 4" in diff_of(source)
    assert f"# +x0 = {lines[0].split()[-1]}" in diff_of(source), "as much as fits is there to read"
    none = finished_source_code(checkout, Redactor({}), diff_limit_kib=0)
    assert (none.diff, none.diff_cut, len(none.diff_gaps)) == (None, True, 2)


def test_files_behind_the_end_of_a_huge_diff_are_named_too(repo: Path) -> None:
    (repo / "a.csv").write_text("password: hunter2\n" * 300_000, encoding="utf-8")
    (repo / "train.py").write_text("a = 3\n", encoding="utf-8")
    git(repo, "add", ".")
    source = finished_source_code(read(repo), Redactor({}))
    assert source.diff_gaps == ["a.csv: longer than the limit", "train.py: longer than the limit"]
    assert source.diff is None or "hunter2" not in diff_of(source)


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
