"""What all tests of RPC have in common."""

import pytest

from support import peers
from support.leaks import nothing_is_left

__all__ = ["either_protocol", "nothing_is_left"]


@pytest.fixture(params=[True, False], ids=["frames", "lines"])
def either_protocol(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Run a test twice: with a server that offers frames, and with one that does not."""
    frames: bool = request.param
    monkeypatch.setattr(peers, "OFFER_FRAMES", frames)
    return frames
