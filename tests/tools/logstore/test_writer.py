"""The thread that writes records: nobody waits for it, and what it loses is counted and said."""

from __future__ import annotations

import copy
import logging
import os
import threading
from collections.abc import Sequence
from typing import Self

import pytest

from sipyco_tools._logging.rows import Row
from sipyco_tools._logstore import writer as writer_module
from sipyco_tools._logstore.writer import QueuedWriter, SinkError
from support.forks import in_child
from support.peers import DEADLINE, until


def row(number: int, message: str = "") -> Row:
    return Row(float(number), float(number), False, "s", 20, "l", message or str(number))


class Memory:
    """A sink that holds what it is given, and fails or hangs as the test says."""

    what = "the memory"

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self.may_write = threading.Event()
        self.may_write.set()
        self.entered = threading.Event()
        self.error: Exception | None = None
        self.tend_error: Exception | None = None
        self.rows: list[Row] = []
        self.attempts = 0
        self.tended = 0
        self.closed = 0
        self.forked = 0

    def write(self, rows: Sequence[Row]) -> None:
        self.entered.set()
        assert self.may_write.wait(DEADLINE)
        self.attempts += 1
        if self.error is not None:
            raise self.error
        self.rows += rows

    def tend(self) -> None:
        self.tended += 1
        if self.tend_error is not None:
            error, self.tend_error = self.tend_error, None
            raise error

    def close(self) -> None:
        self.closed += 1

    def after_fork(self) -> None:
        self.forked += 1


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "RETRY_PAUSE", 0.001)
    monkeypatch.setattr(writer_module, "_TEND_INTERVAL", 0.001)
    monkeypatch.setattr(writer_module, "_TELL_INTERVAL", 0.0)


@pytest.fixture
def sink() -> Memory:
    return Memory()


def test_rows_are_written_in_their_order(sink: Memory) -> None:
    writer = QueuedWriter(sink)
    for number in range(5000):
        writer.put(row(number))
    assert writer.close(DEADLINE) == 0
    assert sink.rows == [row(number) for number in range(5000)]
    assert sink.closed == 1
    assert writer.status() == {
        "where": "the memory",
        "stored": 5000,
        "lost": 0,
        "waiting": 0,
        "failing_for_seconds": None,
        "reason": "",
    }


def test_whoever_logs_does_not_wait_and_the_oldest_go(
    sink: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    sink.may_write.clear()
    writer = QueuedWriter(sink, max_records=10)
    writer.put(row(0))
    assert sink.entered.wait(DEADLINE)
    for number in range(1, 31):
        writer.put(row(number))
    assert writer.status()["waiting"] == 11
    assert writer.status()["lost"] == 20
    sink.may_write.set()
    until(lambda: caplog.messages)
    assert writer.close(DEADLINE) == 20
    assert [r.message for r in sink.rows] == ["0", *map(str, range(21, 31))]
    assert caplog.messages == [
        "the memory: 20 records were lost, as they came faster than they can be written"
    ]


def test_memory_is_bounded_as_well(sink: Memory) -> None:
    sink.may_write.clear()
    writer = QueuedWriter(sink, max_size=10_000)
    writer.put(row(0))
    assert sink.entered.wait(DEADLINE)
    for number in range(1, 11):
        writer.put(row(number, "x" * 4000))
    assert writer.status()["lost"] == 8
    writer.put(row(11, "y" * 20_000))  # the latest stays, however large
    assert writer.status()["lost"] == 10
    sink.may_write.set()
    writer.close(DEADLINE)
    assert [r.created for r in sink.rows] == [0.0, 11.0]


def test_a_failure_is_said_once_and_its_end_with_what_was_lost(
    sink: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    sink.error = SinkError("the disk is full")
    writer = QueuedWriter(sink, max_records=100)
    for number in range(150):
        writer.put(row(number))
    until(lambda: sink.attempts > 5)
    status = writer.status()
    assert status["reason"] == "the disk is full"
    assert status["failing_for_seconds"] >= 0
    assert caplog.messages == [
        "the memory cannot be written: the disk is full; the latest 100 records wait until it can"
    ]
    assert caplog.records[0].levelno == logging.ERROR
    until(lambda: writer.status()["lost"] == 50)
    sink.error = None
    until(lambda: writer.status()["waiting"] == 0)
    until(lambda: len(caplog.messages) == 2)
    assert caplog.messages[1].startswith("the memory is written again, after ")
    assert caplog.messages[1].endswith(" s; 50 records were lost")
    assert [r.created for r in sink.rows] == list(range(50, 150))
    assert writer.status()["failing_for_seconds"] is None
    assert writer.close(DEADLINE) == 50


def test_its_end_is_said_in_a_flood_as_well(
    sink: Memory, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something waits always: and it is to be tended, and losses are to be told of."""
    monkeypatch.setattr(writer_module, "_SETTLED", 0.0)
    sink.error = SinkError("the disk is full")
    writer = QueuedWriter(sink)
    writer.put(row(0))
    until(lambda: len(caplog.messages) == 1)

    class Flood(list[Row]):
        def __iadd__(self, rows: object) -> Self:  # type: ignore[misc]
            writer.put(row(1))
            return self

    sink.rows = Flood()
    sink.error = None
    until(lambda: len(caplog.messages) == 2)
    assert caplog.messages[1].startswith("the memory is written again, after ")
    sink.rows = []
    writer.close(DEADLINE)


def test_what_was_written_before_a_failure_is_not_written_again(sink: Memory) -> None:
    sink.may_write.clear()
    writer = QueuedWriter(sink)
    writer.put(row(0))
    assert sink.entered.wait(DEADLINE)
    for number in range(1, 4):
        writer.put(row(number))
    failed = threading.Event()

    def write(rows: Sequence[Row]) -> None:
        if len(rows) == 3 and not failed.is_set():
            failed.set()
            sink.rows += rows[:2]
            raise SinkError("full", 2)
        sink.rows += rows

    sink.may_write.set()
    sink.write = write  # type: ignore[method-assign]
    until(lambda: writer.status()["stored"] == 4)
    assert writer.close(DEADLINE) == 0
    assert [r.created for r in sink.rows] == [0.0, 1.0, 2.0, 3.0]


def test_rows_that_cannot_be_written_at_all_hold_up_nobody(
    sink: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    sink.error = ZeroDivisionError("of these rows")
    writer = QueuedWriter(sink)
    writer.put(row(0))
    until(lambda: caplog.messages)
    assert caplog.messages == ["the memory: 1 records are lost"]
    assert "of these rows" in caplog.text
    sink.error = None
    writer.put(row(1))
    assert writer.close(DEADLINE) == 1
    assert sink.rows == [row(1)]


def test_the_end_is_bounded_and_counts_what_remains(
    sink: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    sink.may_write.clear()
    writer = QueuedWriter(sink)
    for number in range(7):
        writer.put(row(number))
    assert sink.entered.wait(DEADLINE)
    assert writer.close(0.01) == 7
    assert sink.stopping.is_set()
    sink.may_write.set()  # too late for whoever asked
    until(lambda: sink.closed == 1)
    writer.put(row(8))
    assert writer.status()["lost"] == 1


def test_at_the_end_it_tries_once_more(sink: Memory) -> None:
    sink.error = SinkError("full")
    writer = QueuedWriter(sink)
    for number in range(2500):
        writer.put(row(number))
    until(lambda: sink.attempts > 1)
    assert writer.close(DEADLINE) == 2500
    assert sink.closed == 1


def test_nothing_to_write_starts_no_thread(sink: Memory) -> None:
    before = threading.active_count()
    writer = QueuedWriter(sink)
    assert threading.active_count() == before
    assert writer.close(0) == 0
    assert sink.closed == 1


def test_a_thread_that_cannot_be_started_is_tried_again(
    sink: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    writer = QueuedWriter(sink)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fails)
        writer.put(row(0))
    writer.put(row(1))
    assert writer.close(DEADLINE) == 0
    assert sink.rows == [row(0), row(1)]


def test_what_came_when_no_thread_could_be_started_is_written_in_the_end(
    sink: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    writer = QueuedWriter(sink)
    writer.put(row(1))
    writer.put(row(2))
    assert writer.close(DEADLINE) == 0
    assert (sink.rows, sink.closed) == ([row(1), row(2)], 1)


def test_it_is_tended_now_and_then(sink: Memory, caplog: pytest.LogCaptureFixture) -> None:
    sink.tend_error = ZeroDivisionError()
    writer = QueuedWriter(sink)
    writer.put(row(0))
    until(lambda: sink.tended > 3)
    assert caplog.messages == ["the memory"]  # with the traceback
    sink.tend_error = SinkError("no room to delete")
    until(lambda: len(caplog.messages) == 2)
    assert caplog.messages[1].startswith("the memory cannot be written: no room to delete; ")
    writer.put(row(1))
    until(lambda: len(caplog.messages) == 3)
    assert writer.close(DEADLINE) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_a_child_begins_anew(sink: Memory) -> None:
    writer = QueuedWriter(sink)
    writer.put(row(0))
    until(lambda: sink.rows)

    def child() -> None:
        assert sink.forked == 1
        sink.rows.clear()
        writer.put(row(1))
        assert writer.close(DEADLINE) == 0
        assert sink.rows == [row(1)]

    assert in_child(child) == "None"
    assert writer.close(DEADLINE) == 0
    assert sink.rows == [row(0)]


def test_it_cannot_be_copied(sink: Memory) -> None:
    with pytest.raises(TypeError, match="`QueuedWriter` cannot be copied or pickled"):
        copy.copy(QueuedWriter(sink))
