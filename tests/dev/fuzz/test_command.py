"""The command of the fuzzer, as far as it needs no fuzzer."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from dev.fuzz import cli, corpus, targets
from dev.fuzz.targets import TARGETS, Target

pytestmark = pytest.mark.one_python


class Broken(Target):
    """A target that breaks its contract at one byte."""

    def load(self):  # type: ignore[no-untyped-def]
        def one_input(data: bytes) -> None:
            assert data != b"\xff", "it is not to be taken"

        return one_input


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Target:
    target = Broken("broken", "a target that is broken", "dev")
    monkeypatch.setitem(TARGETS, "broken", target)
    return target


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> Target:
    target = Target("absent", "a target in a package that is not there", "sipyco_absent")
    monkeypatch.setitem(TARGETS, "absent", target)
    return target


def test_the_list_names_every_target(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(TARGETS)
    assert lines[0] == "pyon            pyon.decode, with buffers and standard types and without"


def test_an_input_that_breaks_the_contract_is_shown_as_a_literal(
    broken: Target, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["broken", "--input", r"b'\xff'"]) == 1
    out, err = capsys.readouterr()
    assert out == "broken: 1 inputs, 1 break the contract\n"
    assert "AssertionError: it is not to be taken" in err
    assert err.endswith("broken breaks its contract with\nb'\\xff'\n")


def test_a_corpus_can_be_replayed(
    broken: Target, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "inputs.txt"
    corpus.write(path, [b"one", b"\n", b"one"])
    assert path.read_text() == "b'\\n'\nb'one'\n"
    assert cli.main(["broken", "--replay", "--corpus", str(path)]) == 0
    assert capsys.readouterr().out == "broken: 2 inputs, 0 break the contract\n"


def test_of_all_targets_those_that_are_not_installed_are_left_out(
    broken: Target,
    absent: Target,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cli, "TARGETS", {"absent": absent, "broken": broken})
    monkeypatch.setattr(corpus, "read", lambda path, *, must_exist: [b"x"])
    assert cli.main(["all", "--replay"]) == 0
    assert capsys.readouterr().out == (
        "absent: left out, sipyco_absent is not installed here\n"
        "broken: 1 inputs, 0 break the contract\n"
    )


def test_a_character_that_belongs_in_no_corpus_is_taken_as_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "inputs.txt"
    path.write_text("b'°'\n", "utf-8")
    assert corpus.read(path) == [b"\xc2\xb0"]


@pytest.mark.parametrize("line", ["'text'", "b'open", "1", "b'a' + b'b'"])
def test_a_line_that_is_no_input_is_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "inputs.txt"
    path.write_text(f"# a comment\n\nb'fine'\n{line}\n")
    with pytest.raises(ValueError, match=r"inputs\.txt, line 4: expected a literal of bytes, got"):
        corpus.read(path)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "expected a target (pyon, pyon_v1,"),
        (["nothing"], "or `all`, got nothing"),
        (["pyon", "--seconds", "0"], "--seconds: expected 1 or more, got 0"),
        (["pyon", "--input", "text"], "--input: expected a literal of bytes, got text"),
        (
            ["pyon", "--replay", "--corpus", "nosuch.txt"],
            "No such file or directory: 'nosuch.txt'",
        ),
        (["pyon", "--replay", "--corpus", str(corpus.FOLDER)], "corpora'"),
        (["pyon", "--corpus", __file__], "line 1: expected a literal of bytes, got"),
        (["absent", "--input", "b''"], "absent needs sipyco_absent, which is not installed"),
        (["all", "--input", "b''"], "--corpus and --input are of one target"),
    ],
)
def test_a_wrong_command_line_says_what_was_expected(
    absent: Target, arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_info:
        cli.main(arguments)
    assert exit_info.value.code == 2
    assert reason in capsys.readouterr().err


def test_where_there_is_no_fuzzer_the_command_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "find_spec", lambda name: None)
    assert cli.main(["pyon"]) == 2
    assert capsys.readouterr().err.startswith("fuzzing needs atheris, which is not installed here")


class Merging:
    """Stands for the fuzzer, to which the coverage of every input is new."""

    def run(self, *options: str | Path) -> int:
        assert options[0] == "-merge=1"
        merged, inputs = map(Path, options[-2:])
        for file in inputs.iterdir():
            (merged / file.name).write_bytes(file.read_bytes())
        return 0


def lengths_kept(tmp_path: Path, known: list[bytes], found: list[bytes]) -> list[int]:
    inputs, merged = tmp_path / "inputs", tmp_path / "merged"
    cli._fill(inputs, found)
    kept = cli._with_news(Merging(), known, inputs, merged)  # type: ignore[arg-type]
    assert kept[: len(known)] == known
    return [len(data) for data in kept[len(known) :]]


def test_short_inputs_are_kept_and_some_of_each_length(tmp_path: Path) -> None:
    found = [b"x" * size for size in range(1, 401)]
    kept = lengths_kept(tmp_path, [b"known"] * 20 + found[:3], found)
    assert kept[:78] == list(range(4, 82))
    assert kept[78:] == list(range(82, 395, 4))[:79]
    assert len(kept) + 23 == 180


def test_a_corpus_has_room_for_so_many_bytes(tmp_path: Path) -> None:
    found = [bytes([number]) * 6000 for number in range(10)]
    assert lengths_kept(tmp_path, [b"k" * 7000], [b"short", *found]) == [5, *[6000] * 4]
    (tmp_path / "full").mkdir()
    assert lengths_kept(tmp_path / "full", [b"k"] * 180, found) == []


def test_every_module_of_a_target_is_in_the_list() -> None:
    folder = Path(targets.__file__).parent
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert modules == set(TARGETS)


def test_what_is_replayed_needs_no_fuzzer() -> None:
    assert importlib.util.find_spec("dev.fuzz") is not None
    for path in Path(targets.__file__).parents[1].rglob("*.py"):
        if path.name not in ("cli.py", "engine.py"):
            assert "atheris" not in path.read_text(), path
