"""Documents, and the loops that encode and decode them: a child of the rows in `rows.codec`.

Everything that is compared runs in this one process, on the same document.
"""

from __future__ import annotations

import base64
import json
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from dev.benchmarks.transports.driver import PICKLE, array_of, timed
from sipyco_pyon import pyon

__all__ = ["Codec", "nested_items"]


def nested_items() -> list[dict[str, Any]]:
    """Make records of 10,000 small items in all, with tuples and keys that are no strings.

    Its PYON text is half as long again as the `json` text, and `json.loads` alone takes 1.9 times
    as long for it.
    """
    return [
        {
            "name": f"urukul{number % 8}",
            "window": (number, number + 5),
            "tags": ["dds", "rf"],
            "channels": {0: number, 1: 2},
            "note": "checked by hand",
        }
        for number in range(1000)
    ]


def datasets() -> dict[str, Any]:
    """Make 1,000 datasets as experiments keep them; every other one is an array."""
    generator = np.random.default_rng(1)
    return {
        f"scan.{number}.result": (
            number % 3 == 0,
            generator.random(100) if number % 2 else float(generator.random()),
            {},
        )
        for number in range(1000)
    }


def _b64() -> tuple[Callable[[Any], bytes], Callable[[Any], bytes]]:
    try:
        import pybase64
    except ImportError:
        return base64.b64encode, base64.b64decode
    # Strict, as the decoder of our serializer is.
    return pybase64.b64encode, lambda text: pybase64.b64decode(text, validate=True)


def _array() -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    array = array_of(1_000_000)
    raw = array.tobytes()
    encode, decode = _b64()
    text, document = encode(raw), pyon.encode(array)
    return {
        "sipyco_pyon": (lambda: pyon.encode(array), lambda: pyon.decode(document)),
        "base64": (lambda: encode(raw), lambda: decode(text)),
        "copy": (array.tobytes, lambda: bytearray(raw)),
    }


def _beside_json(value: Any) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    document, lossy = pyon.encode(value), json.dumps(value, separators=(",", ":"))

    def refuse() -> object:
        raise NotImplementedError("only reading can be compared")

    # An encoder that exists already is the quickest that `json` has.
    write = json.JSONEncoder(separators=(",", ":")).encode
    return {
        "sipyco_pyon": (lambda: pyon.encode(value), lambda: pyon.decode(document)),
        "json": (lambda: write(value), lambda: json.loads(lossy)),
        "json, PYON text": (refuse, lambda: json.loads(document)),
    }


def _collector() -> Callable[[object], None]:
    buffers: list[object] = []
    return buffers.append


def _datasets() -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    value = datasets()
    pickled: list[pickle.PickleBuffer] = []
    pickle_text = pickle.dumps(value, protocol=PICKLE, buffer_callback=pickled.append)
    contenders: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "pickle 5": (
            lambda: pickle.dumps(value, protocol=PICKLE, buffer_callback=_collector()),
            lambda: pickle.loads(pickle_text, buffers=pickled),
        )
    }
    text = pyon.encode(value)
    buffers: list[memoryview] = []
    framed = pyon.encode(value, buffer_callback=buffers.append)
    contenders["sipyco_pyon, text"] = (lambda: pyon.encode(value), lambda: pyon.decode(text))
    contenders["sipyco_pyon"] = (
        lambda: pyon.encode(value, buffer_callback=_collector()),
        lambda: pyon.decode(framed, buffers=buffers),
    )
    return contenders


_DOCUMENTS = {
    "array": _array,
    "items": lambda: _beside_json(nested_items()),
    "floats": lambda: _beside_json(np.random.default_rng(1).random(100_000).tolist()),
    "datasets": _datasets,
}


class Codec:
    """One document, and what encodes and decodes it.

    Args:
        document: a key of `_DOCUMENTS`.
    """

    def __init__(self, document: str) -> None:
        self._contenders = _DOCUMENTS[document]()

    def run(self, contender: str, direction: str, count: int) -> float:
        """Return the seconds of encoding (`"encode"`) or decoding, over `count` times."""
        encode, decode = self._contenders[contender]
        return timed(encode if direction == "encode" else decode, count)
