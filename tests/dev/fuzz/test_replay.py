"""The inputs that fuzzing has found worth keeping, without a fuzzer.

In a minimal environment the targets of the packages that are there are replayed.
"""

from __future__ import annotations

import pytest

from dev.fuzz import corpus
from dev.fuzz.targets import TARGETS

# NumPy warns of descriptions of dtypes that nobody should use.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_of_the_corpus_breaks_the_contract(name: str) -> None:
    target = TARGETS[name]
    if not target.installed:
        pytest.skip(f"{target.package} is not installed")
    one_input = target.load()
    inputs = corpus.read(corpus.path_of(name))
    assert len(inputs) > 10
    for data in inputs:
        try:
            one_input(data)
        except Exception as exc:
            exc.add_note(f"look at it: python -m dev.fuzz {name} --input {data!r}")
            raise


@pytest.mark.parametrize("name", TARGETS)
def test_a_corpus_is_as_the_fuzzer_writes_it(name: str, tmp_path: object) -> None:
    path = corpus.path_of(name)
    inputs = corpus.read(path)
    assert path.read_text("ascii").splitlines() == [repr(data) for data in inputs]
    assert inputs == sorted(set(inputs), key=lambda data: (len(data), data))


def test_the_corpora_stay_small() -> None:
    sizes = [path.stat().st_size for path in corpus.FOLDER.iterdir()]
    assert len(sizes) == len(TARGETS)
    assert sum(sizes) < 600_000
