"""Generators of a `BestEffortClient` that has no connection: a loop over one ends at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sipyco_rpc._client.best_effort_iterator import generators_in
from sipyco_rpc.pc_rpc import BestEffortClient
from support.peers import DEADLINE, HOST, connection_of, rpc_server, until
from support.programs import free_port


class Target:
    def numbers(self, count):  # type: ignore[no-untyped-def]
        yield from range(count)

    def annotated(self, count: int) -> Iterator[int]:
        yield from range(count)

    def echo(self, x: Any) -> Any:
        return x


@contextmanager
def disconnected(*calls: str, listed: bool = False) -> Iterator[BestEffortClient]:
    """Give a client whose server has gone, after some methods were called and perhaps listed."""
    with rpc_server({"t": Target()}) as port:
        client = BestEffortClient(HOST, port, "t", DEADLINE, retry=1000)
        for name in calls:
            assert list(getattr(client, name)(2)) == [0, 1]
        if listed:
            client.get_rpc_method_list()
    try:
        client.echo(1)  # finds out that it has gone
        until(lambda: "not connected" in repr(client))
        yield client
    finally:
        client.close_rpc()


def test_a_loop_over_a_generator_that_was_called_before_ends_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with disconnected("numbers") as client:
        caplog.clear()
        assert list(client.numbers(3)) == []
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "`numbers` gives no items: there is no connection to" in caplog.text
        with client.numbers(3) as items:
            assert list(items) == []
            assert next(items, "none") == "none"
        items.close()
        # What was never called, and plain methods, tell by None that there is no connection.
        assert client.annotated(3) is None
        assert client.echo(1) is None


def test_an_annotation_in_a_listing_tells_as_well() -> None:
    with disconnected(listed=True) as client:
        assert list(client.annotated(3)) == []
        assert client.numbers(3) is None
        assert client.echo(1) is None


def test_so_does_looking_at_a_method() -> None:
    with rpc_server({"t": Target()}) as port:
        client = BestEffortClient(HOST, port, "t", DEADLINE, retry=1000)
        assert client.annotated.__doc__ is None
    try:
        # The connection breaks in this very call; its warning is the only one.
        assert list(client.annotated(3)) == []
        assert client.echo(1) is None
    finally:
        client.close_rpc()


def test_a_call_in_which_the_connection_breaks_gives_no_items(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with rpc_server({"t": Target()}) as port:
        client = BestEffortClient(HOST, port, "t", DEADLINE, retry=1000)
        assert list(client.numbers(2)) == [0, 1]
    with client:
        assert list(client.numbers(2)) == []
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "call of `t.numbers` failed" in caplog.text


def test_of_a_server_that_was_never_there_nothing_is_known() -> None:
    with BestEffortClient(HOST, free_port(), "t", DEADLINE, retry=1000) as client:
        assert client.numbers(3) is None
        assert list(client.numbers(3) or ()) == []


def test_items_come_again_after_a_reconnect() -> None:
    with rpc_server({"t": Target()}) as port:
        with BestEffortClient(HOST, port, "t", DEADLINE, retry=0.001) as client:
            assert list(client.numbers(2)) == [0, 1]
            connection_of(client).transport.wake()
            assert list(client.numbers(2)) == []
            until(lambda: ", connected" in repr(client))
            assert list(client.numbers(2)) == [0, 1]


@pytest.mark.parametrize(
    ("annotation", "is_generator"),
    [
        ("Iterator", True),
        ("Iterator[int]", True),
        ("Generator[int, None, None]", True),
        ("collections.abc.AsyncIterator[tuple[int, str]]", True),
        ("AsyncGenerator[int]", True),
        ("Iterable[int]", False),  # a list, perhaps
        ("list[Iterator]", False),
        ("None", False),
        (5, False),
    ],
)
def test_what_an_annotation_says(annotation: Any, is_generator: bool) -> None:
    listing = {"methods": {"f": ({"annotations": {"return": annotation}}, None)}}
    assert generators_in(listing) == ({"f"} if is_generator else set())


def test_a_listing_that_makes_no_sense_tells_nothing() -> None:
    methods: dict[str, Any] = {
        "a": None,
        "b": ({"annotations": None}, None),
        "c": ({}, None),
        "d": ({"annotations": {}}, None),
    }
    assert generators_in({"methods": methods}) == set()
