"""Whole conversations, cut anywhere, or lost anywhere: their results are those of the uncut one.

In memory, both roles at once: the sessions without sockets, and the asyncio shells over them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipyco_rpc.pc_rpc import Server
from support.pairs import Ends, SessionPair, memory_client, pieces_of

pytestmark = [pytest.mark.slow, pytest.mark.one_python]

LONG = bytes(range(256)) * 9  # it travels beside the text, where there are frames
FEATURES = {"frames": ["pyon_v2", "frames"], "v2": ["pyon_v2"], "v1": []}

each_form = pytest.mark.parametrize("form", FEATURES)
# Lines are cut alike in both dialects.
frames_and_lines = pytest.mark.parametrize("form", ["frames", "v1"])


def answer(name: str, *args: Any, **kwargs: Any) -> Any:
    if name == "g":
        raise ValueError("no " + args[0])
    return (args, kwargs)


def talk(form: str, data: bytes = LONG, **cuts: Any) -> SessionPair:
    """Have one conversation with requests of every kind, all of which are sent at once."""
    pair = SessionPair(answer, FEATURES[form], **cuts)
    pair.call("f", 1, "#9 9\n", "\N{SNOWMAN}", key=(2.5, None))
    pair.call("g", "luck")
    pair.call("f", data, {"k": [data]})
    pair.list_methods()
    pair.call("nosuch")
    pair.run()
    return pair


def comparable(pair: SessionPair) -> list[Any]:
    return [
        (how, (type(what), what.args) if how == "raised" else what) for how, what in pair.results
    ]


def expected(data: bytes = LONG) -> list[Any]:
    return [
        ("returned", ((1, "#9 9\n", "\N{SNOWMAN}"), {"key": (2.5, None)})),
        ("raised", (ValueError, ("no luck",))),
        ("returned", ((data, {"k": [data]}), {})),
        ("returned", {"docstring": None, "methods": {}}),
        ("returned", ((), {})),
    ]


@each_form
def test_the_uncut_conversation_gives_what_was_asked_for(form: str) -> None:
    pair = talk(form)
    assert comparable(pair) == expected()
    assert [name for name, *_ in pair.executed] == ["f", "g", "f", "nosuch"]


@frames_and_lines
@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_cut_at_any_byte_changes_nothing(form: str, direction: str) -> None:
    whole = talk(form, b"short")
    stream = getattr(whole, direction).sent
    for place in range(1, len(stream)):
        pair = talk(form, b"short", **{direction: [place]})
        assert comparable(pair) == expected(b"short"), place
        assert pair.executed == whole.executed
        assert (pair.up.sent, pair.down.sent) == (whole.up.sent, whole.down.sent)


@each_form
@pytest.mark.parametrize("sizes", [[1], [2], [3, 1], [1000, 1]])
def test_small_pieces_change_nothing(form: str, sizes: list[int]) -> None:
    whole = talk(form)
    pair = talk(form, up=pieces_of(sizes), down=pieces_of(sizes))
    assert comparable(pair) == expected()
    assert (pair.up.sent, pair.down.sent) == (whole.up.sent, whole.down.sent)


cuts = st.lists(st.integers(1, 200) | st.integers(1, 5000), min_size=1, max_size=12)


@settings(max_examples=40)
@given(st.sampled_from(sorted(FEATURES)), cuts, cuts, st.integers(1, 1000))
def test_random_pieces_change_nothing(
    form: str, up: list[int], down: list[int], limit: int
) -> None:
    pair = talk(form, up=pieces_of(up), down=pieces_of(down))
    assert comparable(pair) == expected()
    # Nor do they where a part of it is too long, and left out.
    whole = talk(form, max_message=1000 + limit)
    pair = talk(form, up=pieces_of(up), down=pieces_of(down), max_message=1000 + limit)
    assert comparable(pair) == comparable(whole)
    assert pair.executed == whole.executed


@frames_and_lines
@pytest.mark.parametrize("direction", ["up", "down"])
def test_what_is_lost_gives_no_answer_and_no_wrong_one(form: str, direction: str) -> None:
    whole = talk(form, b"short")
    stream = getattr(whole, direction).sent
    counts = set()
    for place in range(len(stream)):
        pair = talk(form, b"short", **{f"lost_{direction}": place})
        results = comparable(pair)
        assert results == expected(b"short")[: len(results)], place
        assert pair.executed == whole.executed[: len(pair.executed)]
        assert len(results) < 5
        counts.add(len(results))
    assert counts == {0, 1, 2, 3, 4}


# --- generators --------------------------------------------------------------------------------


def generate(name: str, count: int, data: bytes = b"") -> Any:
    return name if name == "f" else ((number, data) for number in range(count))


def iterate(**cuts: Any) -> SessionPair:
    """Have a conversation in which generators and another call are under way at once."""
    pair = SessionPair(generate, **cuts)
    pair.call("g", 5)
    pair.call("g", 9, LONG[:700])
    pair.call("f", 0)
    pair.call("g", 0)
    return pair


def given_items() -> list[Any]:
    return [
        ("gave", [(number, b"") for number in range(5)]),
        ("gave", [(number, LONG[:700]) for number in range(9)]),
        ("returned", "f"),
        ("gave", []),
    ]


def assert_nothing_is_left(pair: SessionPair) -> None:
    session = pair.client
    assert (session.streams, session.ignored_ids) == ({}, set())
    assert not session.has_reply(())
    assert not pair._generators
    session.check_unasked()


@settings(max_examples=40)
@given(cuts, cuts)
def test_items_come_whole_and_in_order(up: list[int], down: list[int]) -> None:
    pair = iterate(up=pieces_of(up), down=pieces_of(down))
    pair.run()
    assert comparable(pair) == given_items()
    assert_nothing_is_left(pair)


@settings(max_examples=50)
@given(cuts, cuts, st.lists(st.tuples(st.integers(0, 3), st.integers(1, 30)), max_size=4))
def test_what_is_cancelled_at_any_time_leaves_the_rest_as_it_is(
    up: list[int], down: list[int], cancels: list[tuple[int, int]]
) -> None:
    pair = iterate(up=pieces_of(up), down=pieces_of(down))
    while len(pair._calls) < 4 and (pair.up.deliver() | pair.down.deliver()):
        pass
    for index, steps in cancels:
        for _ in range(steps):
            pair.up.deliver()
            pair.down.deliver()
        pair.cancel(index)
    pair.run()
    whole, cancelled = given_items(), {index for index, _ in cancels}
    for index, number in enumerate(pair._calls):
        if number in pair._results:
            assert pair._results[number] == whole[index]
        else:
            assert index in cancelled
    assert_nothing_is_left(pair)


# --- the shells --------------------------------------------------------------------------------


class Target:
    """Methods of every kind."""

    def __init__(self, data: bytes) -> None:
        self.executed: list[Any] = []
        self._data = data

    def echo(self, *args: Any) -> Any:
        self.executed.append(args)
        return args

    async def later(self, *args: Any) -> Any:
        self.executed.append(args)
        await asyncio.sleep(0)
        return args

    def fail(self, text: str) -> None:
        raise KeyError(text)

    async def never(self) -> None:
        await asyncio.Event().wait()

    def count(self, n: int) -> Iterator[Any]:
        for i in range(n):
            yield i, self._data

    async def count_later(self, n: int) -> AsyncIterator[int]:
        for i in range(n):
            await asyncio.sleep(0)
            yield i
        raise ValueError("that is all")


class Wrong(Exception):
    """The conversation gave what it must not."""


async def converse(frames: bool, parallel: bool, small: bool, **cuts: Any) -> list[Any]:
    """Have one conversation of the shells; return what came of each step.

    The last one is "lost" if the connection ended before all was done.

    Raises:
        Wrong: a step gave something else than its result, or than the end of the connection.
    """
    data = b"short" if small else LONG
    target = Target(data)
    done: list[Any] = []

    async def step(work: Any, right: Callable[[Any], bool]) -> None:
        try:
            result = await work
        except (EOFError, ConnectionError) as exc:
            if not str(exc):
                raise Wrong("an error without a reason") from exc
            raise
        except Exception as exc:
            result = exc
        if not right(result):
            raise Wrong(result)
        done.append(result)

    async def items(call: Any) -> list[Any]:
        found: list[Any] = []
        try:
            async for item in await call:
                found.append(item)
        except ValueError as exc:
            found.append(str(exc))
        return found

    async def give_up(call: Any) -> str:
        task = asyncio.create_task(call)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return "cancelled" if task.cancelled() else str(task.exception())

    server = Server({"lda": target}, frames=frames, allow_parallel=parallel)
    async with memory_client(server, **cuts) as (client, _, _):
        try:
            async with asyncio.timeout(20):
                await client.connect_rpc("memory", 0)
                await step(client.echo(1, data), lambda it: it == (1, data))
                await step(client.fail("x"), lambda it: repr(it) == "KeyError('x')")
                if frames:
                    await step(give_up(client.never()), lambda it: it == "cancelled")
                    await step(
                        items(client.count(3)), lambda it: it == [(i, data) for i in range(3)]
                    )
                    await step(
                        items(client.count_later(4)), lambda it: it == [0, 1, 2, 3, "that is all"]
                    )
                async with asyncio.TaskGroup() as group:
                    for i in range(4):
                        method = client.echo if i % 2 else client.later
                        group.create_task(step(method(i), lambda it, i=i: it == (i,)))
        except* (EOFError, ConnectionError):
            done.append("lost")
    if len(set(target.executed)) != len(target.executed):
        raise Wrong("executed twice", target.executed)
    return done


both = pytest.mark.parametrize("frames", [True, False], ids=["frames", "lines"])


@both
@pytest.mark.parametrize("parallel", [True, False], ids=["parallel", "one-by-one"])
@pytest.mark.parametrize("sizes", [[], [1], [7], [3000, 1]])
def test_shells_give_the_same_results_of_small_pieces(
    frames: bool, parallel: bool, sizes: list[int]
) -> None:
    def ends() -> Ends:
        return pieces_of(sizes) if sizes else ()

    done = asyncio.run(converse(frames, parallel, False, up=ends(), down=ends()))
    assert "lost" not in done
    assert len(done) == (9 if frames else 6)


@settings(max_examples=25)
@given(st.booleans(), st.booleans(), cuts, cuts)
def test_shells_give_the_same_results_of_random_pieces(
    frames: bool, parallel: bool, up: list[int], down: list[int]
) -> None:
    done = asyncio.run(converse(frames, parallel, False, up=pieces_of(up), down=pieces_of(down)))
    assert "lost" not in done
    assert len(done) == (9 if frames else 6)


@both
@pytest.mark.parametrize("direction", ["up", "down"])
def test_shells_say_that_the_connection_is_lost_at_whatever_byte(
    frames: bool, direction: str
) -> None:
    async def all_places() -> None:
        place = 0
        while True:
            cuts: dict[str, Any] = {direction: pieces_of([61]), f"lost_{direction}": place}
            done = await converse(frames, True, True, **cuts)
            if "lost" not in done:
                break
            assert done[-1] == "lost"
            place += 11
        assert place > 400

    asyncio.run(all_places())
