"""Keys that Python's tables take the square of the time for: refused, before they have.

The clock is replaced where it decides: on any machine, what a test waits for is refused, and what
is usual is not.
"""

from __future__ import annotations

import base64
import itertools
import random
import sys
import time
from collections import OrderedDict
from types import ModuleType
from typing import Any

import pytest

from sipyco_pyon import _rebuild, _registry, pyon, pyon_v1

BOTH = pytest.mark.parametrize("module", [pyon, pyon_v1], ids=["v2", "v1"])
KINDS = pytest.mark.parametrize("kind", ["dict", "OrderedDict", "set"])
TYPES = {"dict": dict, "OrderedDict": OrderedDict, "set": set}
PIECE = 256


def alike(count: int) -> list[int]:
    """Give integers that have one hash."""
    return [number * sys.hash_info.modulus for number in range(1, count + 1)]


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
    filled, beginning = set(order), set(order[: len(order) // 4])
    keys = list(order)
    for key in itertools.count(size):
        place, rest = key % size, key
        while place in filled and rest:
            rest >>= 5
            place = (5 * place + rest + 1) % size
        if rest == 0 and place in filled and key % size in beginning:
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
    keys = alike(20_000)  # several seconds on any machine, if they were not
    for hostile in ([*range(1000), *keys], [(number, "x") for number in keys]):
        with pytest.raises(
            ValueError, match=f"malformed `{kind}`: too many of its {len(hostile)} k"
        ):
            module.decode(in_dialect(module, kind, hostile))


@KINDS
def test_keys_from_an_array_are_refused_as_those_from_a_list(kind: str) -> None:
    numpy = pytest.importorskip("numpy")
    keys = numpy.arange(1, 20_001).astype("g") * numpy.longdouble("1e4000")
    if not numpy.isfinite(keys).all():
        pytest.skip("the long double of this machine is a double")
    items = (
        keys if kind == "set" else numpy.stack([keys, keys], axis=1)
    )  # beyond a float: one hash
    shape, dtype = str(list(items.shape)), items.dtype.str
    data = base64.b64encode(items.tobytes()).decode()
    array = f'{{"__jsonclass__":["nparray",[{shape},"{dtype}","{data}"]]}}'
    with pytest.raises(ValueError, match=f"malformed `{kind}`: too many of its 20000 keys"):
        pyon.decode(f'{{"__jsonclass__":["{kind}",[{array}]]}}')


@pytest.mark.parametrize("kind", ["dict", "OrderedDict"])
def test_keys_that_lead_past_each_other_are_refused(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A machine a hundred times slower: that takes long, and only beside the first ones.
    monkeypatch.setattr(_rebuild, "thread_time", lambda: 100 * time.thread_time())
    keys = one_path(14)
    assert len(keys) == len(set(map(hash, keys)))
    with pytest.raises(ValueError, match=f"malformed `{kind}`: too many of its {len(keys)} keys"):
        pyon.decode(in_dialect(pyon, kind, keys))


@BOTH
@KINDS
@pytest.mark.parametrize("count", [PIECE, PIECE + 1, 5 * PIECE])
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


@pytest.mark.parametrize("count", [1, PIECE + 1])
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


@pytest.mark.parametrize(
    ("times", "to_hash", "refused"),
    [
        ([0.0] * 20, 0.0, False),
        ([9.0, *[0.0] * 19], 0.0, False),  # something else took the time
        ([*[0.0] * 19, 9.0], 0.0, False),
        ([9.0, *[0.0] * 18, 9.0], 0.0, True),
        ([7.9] * 20, 2.0, False),  # keys that are slow to hash
        ([*[0.0] * 10, *[7.9] * 10], 2.0, False),
        ([9.0] * 20, 2.0, True),
        ([9.0, 9.0, *[0.0] * 18], 2.0, False),  # on the whole it is not slow
        ([0.001] * 20, 0.0, False),  # a slow machine
        ([0.0, *[0.002] * 19], 0.0, True),
        ([*[0.0] * 10, *[9.0] * 10], 0.0, True),
    ],
)
def test_pieces_may_take_four_times_as_long_as_to_hash_their_keys(
    times: list[float], to_hash: float, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings: list[float] = []
    for took in times:
        readings += [100.0, 100.0 + took]
        if took > PIECE * 5e-6:
            readings += [200.0, 200.0 + to_hash]
    left = iter(readings)
    monkeypatch.setattr(_rebuild, "thread_time", lambda: next(left))
    text = in_dialect(pyon, "set", list(range(len(times) * PIECE)))
    if refused:
        with pytest.raises(ValueError, match="malformed `set`: too many of its 5120 keys collide"):
            pyon.decode(text)
    else:
        assert pyon.decode(text) == set(range(5120))
        assert next(left, None) is None
