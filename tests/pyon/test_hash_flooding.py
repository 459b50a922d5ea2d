"""Keys that Python's tables take the square of the time for: refused, before they have.

What is refused is counted, so it is the same on every machine, and what is usual never is.
"""

from __future__ import annotations

import ast
import base64
import itertools
import random
import sys
from array import array
from collections import OrderedDict
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import sipyco_pyon
from sipyco_pyon import _hash_flooding, _registry, pyon, pyon_v1

BOTH = pytest.mark.parametrize("module", [pyon, pyon_v1], ids=["v2", "v1"])
KINDS = pytest.mark.parametrize("kind", ["dict", "OrderedDict", "set"])
TYPES = {"dict": dict, "OrderedDict": OrderedDict, "set": set}
FEW = 256


def alike(count: int) -> list[int]:
    """Give integers that have one hash."""
    return [number * sys.hash_info.modulus for number in range(1, count + 1)]


@cache
def one_path(bits: int) -> list[int]:
    """Give integers, all hashes of which are different, that lead past each other.

    An integer is looked for at its last `bits` bits, and further on at places that follow from all
    of them: `place = 5 * place + rest + 1`, with 5 bits less of the rest each time. Half of a
    dictionary of `2**bits` places is filled in just that order; the others lead there.
    """
    size = 1 << bits
    order = [0]
    while len(order) < size // 3 + 64:
        order.append((5 * order[-1] + 1) % size)
    filled, beginning = set(order), order[: len(order) // 4]
    keys = list(order)
    for key in (home + size * high for high in itertools.count(1) for home in beginning):
        place, rest = key % size, key
        while place in filled and rest:
            rest >>= 5
            place = (5 * place + rest + 1) % size
        if rest == 0 and place in filled:
            keys.append(key)
        if len(keys) > size * 2 // 3 - 64:
            return keys
    raise AssertionError("there are integers without end")


def in_dialect(module: ModuleType, kind: str, keys: list[Any]) -> str:
    """Write a collection as a peer does who means harm, without making it."""
    if module is pyon_v1:
        pairs = {"dict": "{%s}", "OrderedDict": "OrderedDict([%s])", "set": "{%s}"}[kind]
        form = {"dict": "%s: 0", "OrderedDict": "(%s, 0)", "set": "%s"}[kind]
    else:
        pairs = '{"__jsonclass__":["' + kind + '",[[%s]]]}'
        form = "%s" if kind == "set" else "[%s,0]"
    return pairs % ",".join([form % module.encode(key) for key in keys])


def collection(kind: str, keys: list[Any]) -> Any:
    return set(keys) if kind == "set" else TYPES[kind]((key, 0) for key in keys)


@BOTH
@KINDS
def test_keys_of_one_hash_are_refused(module: ModuleType, kind: str) -> None:
    keys = alike(4000)
    for hostile in ([*range(1000), *keys], [(number, "x") for number in keys]):
        with pytest.raises(
            ValueError, match=f"malformed `{kind}`: too many of its {len(hostile)} k"
        ):
            module.decode(in_dialect(module, kind, hostile))


@KINDS
def test_the_items_of_an_array_are_no_keys(kind: str) -> None:
    pytest.importorskip("numpy")
    for dtype in ("|u1", "<f8"):  # a short text and a long one
        data = base64.b64encode(bytes(1000 * int(dtype[2]))).decode()
        array = f'{{"__jsonclass__":["nparray",[[500,2],"{dtype}","{data}"]]}}'
        text = f'{{"__jsonclass__":["{kind}",[{array}]]}}'
        for options in ({}, {"strict": True}):
            with pytest.raises(ValueError, match="expected a list of items, got a `ndarray`"):
                pyon.decode(text, **options)


@pytest.mark.parametrize(
    ("module", "kind"), [(pyon, "dict"), (pyon, "OrderedDict"), (pyon_v1, "dict")]
)
def test_keys_that_lead_past_each_other_are_refused(module: ModuleType, kind: str) -> None:
    keys = one_path(14)
    assert len(keys) == len(set(map(hash, keys)))
    with pytest.raises(ValueError, match=f"malformed `{kind}`: too many of its {len(keys)} keys"):
        module.decode(in_dialect(module, kind, keys))


def grid(steps: list[Any], dimensions: int) -> list[tuple[Any, ...]]:
    return list(itertools.product(steps, repeat=dimensions))


USUAL: dict[str, list[Any]] = {
    "a range": list(range(-5000, 5000)),
    "times in ns": [1_700_000_000_000_000_000 + 1_000_000 * k for k in range(9000)],
    "large steps": [k << 44 for k in range(9000)],
    "steps of 1/4096": [k / 4096 for k in range(-4000, 5000)],
    "steps of 0.1": [k * 0.1 for k in range(9000)],
    "powers of two": [2**k for k in range(1500)] + [2.0**-k for k in range(1, 1000)],
    "a grid of integers": grid(list(range(-2, 3)), 5),
    "a grid of floats": grid([k * 0.25 for k in range(20)], 3),
    "complex": [complex(x, y / 2) for x in range(95) for y in range(95)],
    "fractions": list({Fraction(x, y) for x in range(60) for y in range(1, 60)}),
    "mixed": [*range(3000), *map(str, range(3000)), *[(k, str(k)) for k in range(3000)]],
}


@KINDS
@pytest.mark.parametrize("name", USUAL)
def test_usual_keys_are_read_however_many_there_are(kind: str, name: str) -> None:
    keys = USUAL[name]
    decoded = pyon.decode(in_dialect(pyon, kind, keys))
    assert decoded == collection(kind, keys)


def test_long_strings_are_not_looked_at() -> None:
    strings = [f"{number}" + "x" * 20_000 for number in range(600)]
    assert pyon.decode(in_dialect(pyon, "set", strings)) == set(strings)


@KINDS
def test_what_is_not_a_number_is_there_once(kind: str) -> None:
    keys = [(float("nan"), 1.0)] * 5000
    assert len(pyon.decode(in_dialect(pyon, kind, keys))) == 1


class OneHash:
    """A class whose hash is a bad one, which is nobody's fault."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OneHash) and self.number == other.number

    def __hash__(self) -> int:
        return 1


def test_a_thousand_values_may_have_a_bad_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_registry._decoders, "one", OneHash)
    keys = ",".join(f'{{"__jsonclass__":["one",[{number}]]}}' for number in range(1000))
    text = '{"__jsonclass__":["set",[[' + keys + "]]]}"
    assert pyon.decode(text) == set(map(OneHash, range(1000)))


@BOTH
def test_what_a_text_has_to_spare_is_for_all_of_it(module: ModuleType) -> None:
    keys = alike(1400)
    one = in_dialect(module, "set", keys)
    for _ in range(3):
        assert module.decode(one) == set(keys)
    assert module.decode(f"[{one}, {one}]") == [set(keys)] * 2
    with pytest.raises(ValueError, match="malformed `set`: too many of its 1400 keys collide"):
        module.decode(f"[{one}, {one}, {one}]")


@pytest.mark.parametrize("run", [1, 10], ids=["dict", "set"])
@pytest.mark.parametrize(
    "hashes",
    [
        [random.Random(k).getrandbits(64) - 2**63 for k in range(1200)],
        [(k << 39) % sys.hash_info.modulus for k in range(1200)],
        [(k << 9) for k in range(1200)],
        one_path(11)[:1200],
        [k % 1000 + 5000 * k for k in range(1200)],
    ],
    ids=["random", "grid", "steps", "one path", "other"],
)
def test_steps_are_counted_as_if_they_were_taken(hashes: list[int], run: int) -> None:
    size = 2048
    taken, expected, steps = bytearray(size), [], 0
    for number in hashes:
        place, rest = number % size, number % 2**64
        while True:
            looked_at = range(place, place + (run if place + run <= size else 1))
            free = [other for other in looked_at if not taken[other]]
            if free:
                break
            steps += 1
            rest >>= 5
            place = (5 * place + rest + 1) % size
        taken[free[0]] = 1
        expected.append(free[0])
    places = array("Q")
    cycle, positions = _hash_flooding._probe_cycle(2 * size)
    left = _hash_flooding._insert(hashes, size, run, cycle, positions, places, 10**9)
    assert 10**9 - left == steps
    assert list(places) == expected


@pytest.mark.skipif(_registry.COMPILED, reason="functions that are compiled cannot be replaced")
@KINDS
def test_numbers_in_a_row_take_no_steps_that_have_to_be_counted(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(*args: Any) -> int:
        raise AssertionError("steps are counted one by one, which takes its time")

    monkeypatch.setattr(_hash_flooding, "_insert", put)
    keys = [number + 10_000 for number in range(20_000)]
    assert pyon.decode(in_dialect(pyon, kind, keys)) == collection(kind, keys)


def test_no_clock_says_what_can_be_read() -> None:
    clocks = set()
    for path in Path(sipyco_pyon.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if any(name == "time" for name in names):
                clocks.add(path.name)
    assert clocks <= {"_files.py"}  # of which files are old enough to be removed


@BOTH
@KINDS
@pytest.mark.parametrize("count", [FEW, FEW + 1, 5 * FEW])
def test_what_is_usual_is_read_whole_and_in_order(
    module: ModuleType, kind: str, count: int
) -> None:
    numbers = random.Random(count).sample(range(1 << 60), count)
    for keys in (numbers, [*numbers, *numbers[:9]], [str(number) for number in numbers]):
        decoded = module.decode(in_dialect(module, kind, keys))
        assert type(decoded) is TYPES[kind]
        assert decoded == collection(kind, keys)
        assert kind == "set" or list(decoded) == list(dict.fromkeys(keys))


def test_the_last_of_equal_keys_counts_in_another_piece_too() -> None:
    pairs = ",".join(f"[{number % 700},{number}]" for number in range(1000))
    decoded = pyon.decode('{"__jsonclass__":["dict",[[' + pairs + "]]]}")
    assert decoded == {number % 700: number for number in range(1000)}


def test_keys_that_are_slow_to_compare_buy_no_time_for_others() -> None:
    prefix = [10**12] * 100  # each is compared, before the last ones that have one hash
    keys = [(*prefix, number) for number in alike(512)]
    text = in_dialect(pyon, "set", [*keys, *alike(30_000)])
    with pytest.raises(ValueError, match="malformed `set`: too many of its 30512 keys collide"):
        pyon.decode(text)


def test_long_strings_before_what_collides_take_longer_to_compare() -> None:
    short, long = ("x" * length for length in (25, 25_000))
    assert len(pyon.decode(in_dialect(pyon, "set", [(short, n) for n in alike(600)]))) == 600
    with pytest.raises(ValueError, match="malformed `set`: too many of its 600 keys collide"):
        pyon.decode(in_dialect(pyon, "set", [(long, n) for n in alike(600)]))


@BOTH
def test_fractions_take_longer_to_compare_than_numbers(module: ModuleType) -> None:
    keys = [Fraction(number) for number in alike(2000)]
    with pytest.raises(ValueError, match="malformed `set`: too many of its 2000 keys collide"):
        module.decode(in_dialect(module, "set", keys))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="a slice cannot be a key")
def test_slices_take_as_long_to_compare_as_what_they_hold() -> None:
    numbers = alike(2000)
    few = in_dialect(pyon, "set", [slice(number) for number in numbers[:200]])
    assert len(pyon.decode(few)) == 200
    keys = [slice(0, (*[1] * 50, number)) for number in numbers]
    with pytest.raises(ValueError, match="malformed `set`: too many of its 2000 keys collide"):
        pyon.decode(in_dialect(pyon, "set", keys))


@pytest.mark.parametrize("count", [1, FEW + 1])
def test_a_key_that_cannot_be_hashed_is_malformed(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Strange:
        def __hash__(self) -> int:
            raise LookupError("no")

    monkeypatch.setitem(_registry._decoders, "strange", lambda: Strange())
    key = '{"__jsonclass__":["strange",[]]}'
    with pytest.raises(ValueError, match="malformed `dict`: no"):
        pyon.decode('{"__jsonclass__":["dict",[[' + ",".join([f"[{key},0]"] * count) + "]]]}")
