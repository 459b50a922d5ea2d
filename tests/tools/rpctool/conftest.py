"""The command switches the standard types on, for all of its process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dev.fuzz.standard_types import types_restored


@pytest.fixture(autouse=True)
def _types_of_the_command() -> Iterator[None]:
    with types_restored():
        yield
