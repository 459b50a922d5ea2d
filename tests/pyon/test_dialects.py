"""Any value of any type in both dialects, and from each dialect to the other."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings

from sipyco_pyon import pyon, pyon_v1
from support.values import V1_VALUES, V2_VALUES, alike


@settings(max_examples=150)
@given(V2_VALUES)
def test_v2_gives_back_what_it_was_given(value: Any) -> None:
    text = pyon.encode(value)
    assert text.isascii()
    assert "\n" not in text
    for form in (text, text.encode(), bytearray(text, "ascii"), pyon.encode(value, pretty=True)):
        assert alike(pyon.decode(form), value)


@settings(max_examples=150)
@given(V1_VALUES)
def test_what_both_dialects_have_goes_from_each_to_each(value: Any) -> None:
    of_v1 = pyon_v1.decode(pyon_v1.encode(value))
    of_v2 = pyon.decode(pyon.encode(value))
    assert alike(of_v1, value)
    assert alike(of_v2, value)
    assert alike(pyon.decode(pyon.encode(of_v1)), value)
    assert alike(pyon_v1.decode(pyon_v1.encode(of_v2)), value)
