"""What the log server of a run writes down. Nothing runs here."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from dev.soak.accounts import Accounts
from dev.soak.ledger import Ledger, Tail
from dev.soak.peers import KINDS
from dev.soak.processes import _Arrivals
from sipyco_tools._logging.queue import EntryQueue, QueuedEntry

pytestmark = pytest.mark.one_python


@pytest.mark.parametrize("count", [1, 12])
def test_what_a_forwarder_says_that_it_dropped_is_counted(tmp_path: Path, count: int) -> None:
    queue = EntryQueue(1, "child")
    for _ in range(count + 1):
        queue.put(QueuedEntry(b"peer0:INFO:soak.peer0:one\n"))
    notice = queue.take()
    assert notice is not None
    source, _, _, text = notice.text.decode().rstrip("\n").split(":", 3)
    journal = Ledger(str(tmp_path / "arrivals"))

    _Arrivals(journal).emit(logging.makeLogRecord({"msg": text, "source": source}))

    journal.close()
    accounts = Accounts(KINDS)
    for line in Tail(tmp_path / "arrivals").lines():
        accounts.arrived(line)
    assert accounts.dropped == count
