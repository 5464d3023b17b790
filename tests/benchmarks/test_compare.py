"""The comparison of two builds: times, instructions and the verdict."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from benchmarks import compare, instructions, machine
from tests.jpegs import encode_with_pillow, picture


def test_two_builds_are_asked_in_turn(tmp_path):
    (tmp_path / "file.jpg").write_bytes(encode_with_pillow(picture(16, 16)))
    with compare.workers([compare.ROOT] * 2, tmp_path) as (old, new):
        for operation in compare.OPERATIONS:
            found = compare.compare(old, new, operation, "file.jpg", 0)
            assert found.pairs == 5
            assert found.value > 0
    assert new.process.returncode == 0


class Constant:
    """A worker whose answers are the same time per repetition."""

    def __init__(self, seconds: float) -> None:
        self.answer, self.calls = seconds, []

    def seconds(self, operation: str, name: str, times: int = 1) -> float:
        self.calls.append((operation, name, times))
        return self.answer


def test_short_work_is_repeated():
    old, new = Constant(0.0005), Constant(0.001)
    found = compare.compare(old, new, "plain", "a.jpg", 0)
    assert found == (2, 2, 2, 5, 0.001, 0.0005)
    assert old.calls == new.calls == [("plain", "a.jpg", 1)] * 2 + [("plain", "a.jpg", 4)] * 6


def test_a_commit_is_counted_with_its_own_program():
    """Signatures of C functions may change between commits."""
    assert (compare.ROOT / compare.DRIVER).is_file()


# ---- commits --------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Callable[..., str]:
    """A function that calls git in a new repository with two commits of main."""
    monkeypatch.setattr(compare, "ROOT", tmp_path)
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "a name")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "a@name.example")

    def git(*command: str) -> str:
        done = subprocess.run(
            ["git", *command], cwd=tmp_path, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    git("init", "-q", "-b", "main")
    (tmp_path / "file").write_text("text")
    git("add", "file")
    for number in range(2):
        git("commit", "-q", "--allow-empty", "-m", str(number))
    return git


def test_a_branch_is_compared_with_where_it_began(repository):
    began = repository("rev-parse", "HEAD")
    repository("checkout", "-q", "-b", "branch")
    repository("commit", "-q", "--allow-empty", "-m", "new")
    assert compare.chosen(None, None) == (began, repository("rev-parse", "branch"))
    assert compare.chosen("main~1", "branch") == tuple(
        repository("rev-parse", name) for name in ("main~1", "branch")
    )
    repository("branch", "-m", "main", "other")
    with pytest.raises(SystemExit, match="no branch main: name the old commit"):
        compare.chosen(None, None)
    repository("update-ref", "refs/remotes/origin/main", began)
    assert compare.chosen("", "")[0] == began


def test_what_is_changed_belongs_to_the_working_tree(repository, tmp_path):
    (tmp_path / "file").write_text("changed")
    old, new = compare.chosen(None, None)
    assert old == repository("rev-parse", "main")
    assert repository("show", f"{new}:file") == "changed"


def test_main_is_not_compared_with_itself(repository):
    with pytest.raises(SystemExit, match="this is a commit of main: name an older one"):
        compare.chosen(None, None)
    assert compare.chosen("main", None) == (repository("rev-parse", "main"),) * 2


def test_unknown_commit_is_refused(repository):
    with pytest.raises(SystemExit, match="git knows no commit 'no-such-commit'"):
        compare.chosen("no-such-commit", None)
    repository("checkout", "-q", "--orphan", "alone")
    repository("commit", "-q", "--allow-empty", "-m", "alone")
    with pytest.raises(SystemExit, match="no common commit here, as in a shallow clone"):
        compare.chosen(None, None)


def test_there_must_be_a_repository_and_git(tmp_path, monkeypatch):
    monkeypatch.setattr(compare, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(SystemExit, match=r"git rev-parse --git-dir: .*not a git repository"):
        compare.chosen(None, None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="needs git"):
        compare.chosen(None, None)


def test_a_commit_that_cannot_be_built_is_named(tmp_path, repository):
    (tmp_path / "pyproject.toml").write_text("no TOML")
    repository("add", "pyproject.toml")
    repository("commit", "-q", "-m", "broken")
    commit = repository("rev-parse", "HEAD")
    with pytest.raises(SystemExit, match=f"{commit[:12]} cannot be built: see above"):
        compare.build(commit, compare.place(str(tmp_path), 0))


# ---- instructions ---------------------------------------------------------------


def test_over_two_percent_more_instructions_are_named():
    same = compare.Count("plain", "a", 100, 102)
    grown = compare.Count("encode", "b", 1000, 1021)
    assert compare.verdict([same, compare.Count("plain", "c", 100, 90)]) == (
        "No operation takes over 2 % more instructions than before. The most: "
        "plain (a), 1.0200 times as many."
    )
    text = compare.verdict([same, grown])
    assert text.startswith("OVER 2 % MORE INSTRUCTIONS, in 1 of 2 cases:")
    assert text.endswith("- encode (b): 1.0210")
    assert "| encode | b | 1.0210 | 1,000.0 | 1,021.0 |" in compare.shown_counts([grown])


def test_the_first_calls_do_not_count(monkeypatch, tmp_path):
    prices = {"plain": 7, "defended": 8, "encode": 9, "requantize": 10, "decode_many": 11}

    def of_parts(command: list[str], given: str) -> list[int]:
        assert command[1:] == [str(compare.WORKER), "site", str(tmp_path)]
        jobs = [line.split("\t") for line in given.splitlines()]
        return [
            prices[name] * int(times) + (10**6 if int(times) == compare.FIRST else 0)
            for name, _, times in jobs
        ]

    monkeypatch.setattr(compare.instructions, "of_parts", of_parts)
    assert compare.of_calls(compare.Path("site"), tmp_path) == prices


def test_instructions_of_parts_are_valgrinds(tmp_path, monkeypatch):
    """A stand-in for valgrind, which `make bench` installs, checks what it is asked for."""
    valgrind = tmp_path / "valgrind"
    valgrind.write_text(
        "#!/bin/sh\n"
        '[ "$1 $2 $3 $PYTHONHASHSEED" = '
        '"--tool=callgrind --zero-before=getppid --dump-before=getpgrp 0" ] || exit 1\n'
        'out=${4#--callgrind-out-file=}; [ "$5 $6" = "cat -" ] && size=$(cat | wc -c)\n'
        'for n in 1 2 10; do printf "fn=(1) f\n3 $n\ntotals: $size$n\n" >$out.$n; done\n'
        'echo "totals: 7" >$out\n'
    )
    valgrind.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{compare.os.environ['PATH']}")
    assert instructions.of_parts(["cat", "-"], "x" * 12) == [121, 122, 1210]


@pytest.fixture
def run(monkeypatch, capsys):
    """A function that runs the command with counts, and returns code, text and commits."""

    def of(counts: list[compare.Count], *arguments: str) -> tuple[object, str, list[str]]:
        built = []
        monkeypatch.setattr(compare, "chosen", lambda old, new: (old or "base", new or "tree"))
        monkeypatch.setattr(compare, "build", lambda commit, folder: built.append(commit) or folder)
        monkeypatch.setattr(compare.Path, "is_dir", lambda _: True)
        monkeypatch.setattr(compare.instructions, "available", lambda: True)
        monkeypatch.setattr(compare, "counted", lambda *_: counts[:1])
        monkeypatch.setattr(compare, "called", lambda *_: counts[1:])
        monkeypatch.setattr(compare, "timed", lambda *_: "times")
        monkeypatch.setattr("sys.argv", ["compare", *arguments])
        with pytest.raises(SystemExit) as end:
            compare.main()
        return end.value.code, capsys.readouterr().out, built

    return of


@pytest.mark.parametrize(
    ("arguments", "commits"),
    [
        ([], ["base", "tree"]),
        (["", ""], ["base", "tree"]),
        (["a"], ["a", "tree"]),
        (["", "b"], ["base", "b"]),
        (["a", "b"], ["a", "b"]),
    ],
)
def test_the_exit_code_says_whether_instructions_grew(run, arguments, commits):
    code, text, built = run([compare.Count("plain", "a", 100, 100)] * 2, *arguments)
    assert not code
    assert text.rstrip().endswith("1.0000 times as many.")
    assert built == commits
    grown = [compare.Count("plain", "a", 100, 100), compare.Count("plain", "call", 100, 103)]
    code, text, _ = run(grown, *arguments)
    assert code == 1
    assert text.rstrip().endswith("- plain (call): 1.0300")
