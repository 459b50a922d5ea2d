"""The command: which target, for how long, and what becomes of what is found."""

from __future__ import annotations

import argparse
import ast
import shlex
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from dev.fuzz import corpus
from dev.fuzz.targets import TARGETS, Target

__all__ = ["main"]

_ROOT: Final = Path(__file__).parents[2]
_TOKENS: Final = Path(__file__).parent / "tokens.dict"

_SECONDS: Final = 60
_MAX_INPUT: Final = 8192  # bytes; what is wrong with longer ones is so with shorter ones
_MAX_TIME: Final = 10  # seconds for one input, on a machine that does other things as well
_MAX_MEMORY: Final = 1024  # MiB of the whole process
_MERGE_SECONDS: Final = 300

# What a corpus may hold: it is read by people, and replayed by every run of the tests.
_MOST_INPUTS: Final = 180
_MOST_BYTES: Final = 36 * 1024

_EPILOG: Final = """\
how to read it
  An input that breaks the contract of its target, takes too long or too much memory ends the run.
  It is printed as a literal of Python's bytes, behind the error. Look at it again with

    python -m dev.fuzz TARGET --input 'LITERAL'

  mend the library, and write a test with a name in the tests of the package. The tests replay the
  corpora too (tests/dev/fuzz), without a fuzzer: add the literal as a line to
  dev/fuzz/corpora/TARGET.txt.

examples
  hatch run fuzz:run --list                     the targets
  hatch run fuzz:run pyon --seconds 600         ten minutes of one of them
  hatch run fuzz:run server --keep              add what leads further to the corpus
  hatch run fuzz:run all                        a minute of each
  python -m dev.fuzz all --replay                   the inputs of the corpora, without a fuzzer

exit status
  0; 1 if an input was found; 2 for a wrong command line, or where atheris is not installed.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fuzz",
        description="Give everything that takes bytes from a peer what no peer would send, led\n"
        "by the coverage that it reaches (atheris, libFuzzer).",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("target", nargs="?", metavar="TARGET", help="what to fuzz; `all` for each in turn")
    add("--list", action="store_true", help="show the targets, and end")
    add(
        "--seconds",
        type=int,
        default=_SECONDS,
        metavar="N",
        help=f"how long, for each target (default: {_SECONDS})",
    )
    add(
        "--corpus",
        type=Path,
        metavar="FILE",
        help="inputs to begin with (default: dev/fuzz/corpora/TARGET.txt)",
    )
    add("--keep", action="store_true", help="add what leads further to the corpus, if it has room")
    add("--replay", action="store_true", help="take the inputs of the corpus, and no others")
    add("--input", metavar="LITERAL", help="take one input, such as: b'[1,\\xff'")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.list:
        for target in TARGETS.values():
            print(f"{target.name:15} {target.summary}")
        return 0
    if options.target == "all":
        targets = [target for target in TARGETS.values() if target.installed]
        for target in TARGETS.values():
            if target not in targets:
                print(f"{target.name}: left out, {target.package} is not installed here")
        if not targets:
            parser.error("no target is installed")
        if options.corpus is not None or options.input is not None:
            parser.error("--corpus and --input are of one target")
    elif options.target in TARGETS:
        targets = [TARGETS[options.target]]
        if not targets[0].installed:
            parser.error(f"{options.target} needs {targets[0].package}, which is not installed")
    else:
        parser.error(f"expected a target ({', '.join(TARGETS)}) or `all`, got {options.target}")
    if options.seconds < 1:
        parser.error(f"--seconds: expected 1 or more, got {options.seconds}")
    if options.input is not None:
        return _take(targets[0], [_literal(parser, options.input)])
    paths = [options.corpus or corpus.path_of(target.name) for target in targets]
    try:
        inputs = [corpus.read(path, must_exist=options.replay) for path in paths]
    except (OSError, ValueError) as exc:
        parser.error(str(exc))
    if options.replay:
        return max(map(_take, targets, inputs))
    if find_spec("atheris") is None:
        print(
            "fuzzing needs atheris, which is not installed here. `hatch run fuzz:run` installs it "
            "where there is a wheel (Linux, macOS);\n--replay and --input need only the library",
            file=sys.stderr,
        )
        return 2
    return max(
        _fuzz(target, path, options.seconds, options.keep)
        for target, path in zip(targets, paths, strict=True)
    )


def _literal(parser: argparse.ArgumentParser, text: str) -> bytes:
    try:
        data = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        data = None
    if not isinstance(data, bytes):
        parser.error(f"--input: expected a literal of bytes, got {text}")
    return data


def _take(target: Target, inputs: Iterable[bytes]) -> int:
    """Give inputs to a target; tell of those that break its contract."""
    one_input: Callable[[bytes], None] = target.load()
    count, failed = 0, 0
    for data in inputs:
        count += 1
        try:
            one_input(data)
        except Exception:  # noqa: BLE001  (whatever it is, it is what is looked for)
            traceback.print_exc()
            print(f"{target.name} breaks its contract with\n{data!r}", file=sys.stderr)
            failed += 1
    print(f"{target.name}: {count} inputs, {failed} break the contract")
    return 1 if failed else 0


def _fuzz(target: Target, path: Path, seconds: int, keep: bool) -> int:
    """Fuzz a target from the inputs of a file on; print what breaks its contract."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        engine = _Engine(target, Path(folder))
        inputs = Path(folder, "inputs")
        _fill(inputs, corpus.read(path))
        status = engine.run(
            f"-max_total_time={seconds}",
            f"-max_len={_MAX_INPUT}",
            f"-dict={_TOKENS}",
            "-print_final_stats=1",
            inputs,
        )
        broken = engine.found()
        for data in broken:
            print(f"{target.name} breaks its contract with\n{data!r}", file=sys.stderr)
        if keep:
            kept = _with_news(engine, corpus.read(path), inputs, Path(folder, "merged"))
            corpus.write(path, kept)
            print(f"{target.name}: {len(kept)} inputs are in {path}")
        return 1 if broken or status else 0


def _with_news(engine: _Engine, known: list[bytes], inputs: Path, merged: Path) -> list[bytes]:
    """Add to the inputs of a corpus those that lead further, as far as there is room.

    These are the shortest ones, and some of each length: long ones take other ways.
    """
    _fill(merged, known)
    engine.run("-merge=1", f"-max_total_time={_MERGE_SECONDS}", merged, inputs)
    found = {file.read_bytes() for file in merged.iterdir()}
    news = sorted(found - set(known), key=len)
    places, room = _MOST_INPUTS - len(known), _MOST_BYTES - sum(map(len, known))
    short = max(0, places) // 2
    step = max(1, (len(news) - short) // max(1, places - short))
    kept = list(known)
    for data in news[:short] + news[short::step]:
        if len(data) <= room and len(kept) < _MOST_INPUTS:
            kept.append(data)
            room -= len(data)
    return kept


def _fill(folder: Path, inputs: Iterable[bytes]) -> None:
    """Make a folder of inputs as libFuzzer has it."""
    folder.mkdir()
    for data in inputs:
        (folder / sha256(data).hexdigest()).write_bytes(data)


class _Engine:
    """Runs the fuzzer in processes of their own.

    Args:
        target: what to fuzz.
        folder: where this may write; it exists.
    """

    def __init__(self, target: Target, folder: Path) -> None:
        self._found = folder / "found"
        self._found.mkdir()
        # A program that can be started by its name, as libFuzzer does with itself to merge.
        self._program = folder / "engine"
        python, name = shlex.quote(sys.executable), shlex.quote(target.name)
        self._program.write_text(f'#!/bin/sh\nexec {python} -m dev.fuzz.engine {name} "$0" "$@"\n')
        self._program.chmod(0o700)

    def run(self, *options: str | Path) -> int:
        """Run it; return its exit status."""
        limits = [
            f"-timeout={_MAX_TIME}",
            f"-rss_limit_mb={_MAX_MEMORY}",
            f"-artifact_prefix={self._found}/",
        ]
        command = [str(self._program), *limits, *map(str, options)]
        return subprocess.run(command, cwd=_ROOT, check=False).returncode

    def found(self) -> list[bytes]:
        """Return the inputs that broke the contract."""
        return [file.read_bytes() for file in sorted(self._found.iterdir())]
