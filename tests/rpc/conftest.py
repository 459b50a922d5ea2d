"""What all tests of RPC have in common."""

import pytest

from sipyco_rpc._server import connection
from sipyco_rpc.net import listener, workarounds
from support import peers
from support.leaks import nothing_is_left

__all__ = ["either_protocol", "nothing_is_left", "patient"]


@pytest.fixture(params=[True, False], ids=["frames", "lines"])
def either_protocol(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Run a test twice: with a server that offers frames, and with one that does not."""
    frames: bool = request.param
    monkeypatch.setattr(peers, "OFFER_FRAMES", frames)
    return frames


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have servers wait for peers to take what was said last, on however busy a machine."""
    monkeypatch.setattr(workarounds, "CLOSE_TIMEOUT", peers.DEADLINE)
    monkeypatch.setattr(listener, "STOP_TIMEOUT", peers.DEADLINE)
    monkeypatch.setattr(connection, "_CLOSE_TIMEOUT", peers.DEADLINE)
