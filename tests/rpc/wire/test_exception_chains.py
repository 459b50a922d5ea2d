"""Causes, notes and members of exceptions, from the server's method to the client's `except`."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipyco_rpc.pc_rpc import AsyncioClient, Client
from sipyco_rpc.wire.exceptions import (
    GenericRemoteException,
    pack_exception,
    unpack_exception,
    without_arguments,
)
from support.peers import DEADLINE, HOST, rpc_server


class Own(Exception):
    pass


class OwnGroup(ExceptionGroup[Exception]):
    pass


def raised_from(cause: BaseException | None, text: str = "outer") -> RuntimeError:
    exc = RuntimeError(text)
    exc.__cause__ = cause
    return exc


def missing_file() -> FileNotFoundError:
    exc = FileNotFoundError(2, "No such file", "/dev/laser")
    exc.add_note("is it switched on?")
    return exc


def there_and_back(exc: BaseException) -> Exception:
    return unpack_exception(pack_exception(exc))


def parent_of(exc: BaseException) -> str:
    return "".join(exc.parent_traceback)  # type: ignore[attr-defined]


class Chains:
    """Methods that raise in all the ways there are."""

    def cause(self) -> None:
        try:
            raise missing_file()
        except OSError as exc:
            raise RuntimeError("no device") from exc

    async def cause_async(self) -> None:
        self.cause()

    def cause_in_generator(self) -> Iterator[int]:
        yield 1
        self.cause()

    def context(self) -> None:
        try:
            raise missing_file()
        except OSError:
            raise RuntimeError("no device")  # noqa: B904

    def stop_iteration(self) -> None:
        raise StopIteration(3)


@pytest.mark.parametrize("threaded", [False, True], ids=["plain", "threaded"])
@pytest.mark.usefixtures("either_protocol")
def test_the_cause_and_its_notes_reach_the_client(threaded: bool) -> None:
    with rpc_server({"t": Chains()}, threaded=threaded) as port:
        with Client(HOST, port, timeout=DEADLINE) as client:
            for method in (client.cause, client.cause_async):
                with pytest.raises(RuntimeError, match="no device") as caught:
                    method()
                cause = caught.value.__cause__
                assert isinstance(cause, FileNotFoundError)
                assert (cause.errno, cause.filename) == (2, "/dev/laser")
                assert "raise missing_file()" in parent_of(cause)
                shown = "".join(traceback.format_exception(caught.value))
                assert shown.count("is it switched on?") == 1
                assert shown.count("raise missing_file()") == 1
                assert parent_of(caught.value).splitlines()[0] == (
                    "Traceback (most recent call last):"
                )
                assert (
                    "FileNotFoundError: [Errno 2] No such file: '/dev/laser'\n"
                    "is it switched on?\n"
                    "\nThe above exception was the direct cause of the following exception:\n\n"
                    "Traceback (most recent call last):\n"
                ) in parent_of(caught.value)


@pytest.mark.parametrize("threaded", [False, True], ids=["plain", "threaded"])
def test_the_cause_in_a_generator_and_on_the_asyncio_client(threaded: bool) -> None:
    async def main(port: int) -> None:
        async with AsyncioClient(DEADLINE) as client:
            await client.connect_rpc(HOST, port)
            items = await client.cause_in_generator()
            assert await anext(items) == 1
            with pytest.raises(RuntimeError, match="no device") as caught:
                await anext(items)
            assert isinstance(caught.value.__cause__, FileNotFoundError)

    with rpc_server({"t": Chains()}, threaded=threaded, frames=True) as port:
        asyncio.run(main(port))


@pytest.mark.usefixtures("either_protocol")
def test_what_was_being_handled_is_shown_and_raised_in_no_ones_stead() -> None:
    with rpc_server({"t": Chains()}) as port, Client(HOST, port, timeout=DEADLINE) as client:
        ours = KeyError("ours")
        try:
            raise ours
        except KeyError:
            with pytest.raises(RuntimeError) as caught:
                client.context()
        assert caught.value.__context__ is ours
        for text in (parent_of(caught.value), caught.value.__notes__[-1]):
            assert "FileNotFoundError: [Errno 2] No such file: '/dev/laser'" in text
            assert "During handling of the above exception, another exception occurred:" in text


@pytest.mark.parametrize("threaded", [False, True], ids=["plain", "threaded"])
@pytest.mark.usefixtures("either_protocol")
def test_stop_iteration_of_a_method_has_its_traceback(threaded: bool) -> None:
    with rpc_server({"t": Chains()}, threaded=threaded) as port:
        with Client(HOST, port, timeout=DEADLINE) as client:
            with pytest.raises(RuntimeError, match="coroutine raised StopIteration") as caught:
                client.stop_iteration()
            assert "raise StopIteration(3)" in parent_of(caught.value)
            assert isinstance(caught.value.__cause__, StopIteration)
            assert caught.value.__cause__.value == 3


def test_what_is_said_for_none_is_not_said() -> None:
    exc = raised_from(None)
    exc.__context__ = ValueError("handled")
    exc.__suppress_context__ = True
    assert pack_exception(exc) == {
        "class": "RuntimeError",
        "args": ("outer",),
        "message": "outer",
        "traceback": [],
    }


def test_the_keys_that_others_read_are_as_they_were() -> None:
    packed = pack_exception(raised_from(missing_file()))
    assert (packed["class"], packed["message"], packed["traceback"]) == (
        "RuntimeError",
        "outer",
        [],
    )
    assert packed["cause"]["class"] == "FileNotFoundError"
    assert packed["cause"]["notes"] == ["is it switched on?"]
    group = pack_exception(ExceptionGroup("many", [ValueError("a")]))
    assert (group["class"], group["message"]) == ("ExceptionGroup", "many (1 sub-exception)")


def test_a_group_comes_with_its_members() -> None:
    inner = ExceptionGroup("inner", [OSError(5, "broken")])
    group = ExceptionGroup("many", [raised_from(ValueError("why")), Own("text"), inner])
    group.add_note("of the group")
    back = there_and_back(group)
    assert isinstance(back, ExceptionGroup)
    assert str(back) == "many (3 sub-exceptions)"
    assert back.__notes__[0] == "of the group"
    one, two, three = back.exceptions
    assert (type(one), str(one), str(one.__cause__)) == (RuntimeError, "outer", "why")
    assert type(two) is GenericRemoteException
    assert str(two).endswith("Own: text")
    assert isinstance(three, ExceptionGroup)
    assert isinstance(three.exceptions[0], OSError)
    assert three.exceptions[0].errno == 5
    found, rest = back.split(OSError)
    assert found is not None
    assert rest is not None
    assert [type(member) for member in rest.exceptions] == [RuntimeError, GenericRemoteException]
    assert "  | RuntimeError: outer\n" in parent_of(back)
    assert "  |   | OSError: [Errno 5] broken\n" in parent_of(back)


def test_members_that_end_programs_do_not() -> None:
    back = there_and_back(BaseExceptionGroup("b", [KeyboardInterrupt(), SystemExit(3)]))
    assert type(back) is ExceptionGroup
    assert [type(member) for member in back.exceptions] == [GenericRemoteException] * 2
    assert [str(member) for member in back.exceptions] == ["KeyboardInterrupt", "SystemExit: 3"]


def test_a_group_of_a_class_of_ones_own_shows_its_members() -> None:
    back = there_and_back(OwnGroup("many", [ValueError("a")]))
    assert type(back) is GenericRemoteException
    assert "  | ValueError: a\n" in parent_of(back)


def long_chain() -> BaseException:
    exc: BaseException | None = None
    for number in range(1000):
        exc = raised_from(exc, str(number))
    assert exc is not None
    return exc


def circle() -> BaseException:
    one, two = raised_from(None, "one"), raised_from(None, "two")
    one.__cause__, two.__cause__ = two, one
    return one


def many_members() -> BaseException:
    return ExceptionGroup("many", [ValueError(number) for number in range(1000)])


def deep_groups() -> BaseException:
    exc: Exception = ValueError("deepest")
    for _ in range(500):
        exc = ExceptionGroup("g", [exc, exc])
    return exc


def member_of_its_context() -> BaseException:
    member = ValueError("member")
    group = ExceptionGroup("g", [member])
    member.__context__ = group
    return group


@pytest.mark.parametrize(
    "make", [long_chain, circle, many_members, deep_groups, member_of_its_context]
)
def test_chains_have_limits(make: Callable[[], BaseException]) -> None:
    packed = pack_exception(make())
    assert len(str(packed)) < 100_000
    back = unpack_exception(packed)
    assert str(back).split(" (")[0] == str(make()).split(" (")[0]
    assert len("".join(traceback.format_exception(back))) < 200_000


def test_what_is_left_out_of_a_group_is_said() -> None:
    back = there_and_back(many_members())
    assert "[900 more exceptions of this group are left out]" in back.__notes__


def test_notes_may_be_anything() -> None:
    exc = ValueError("v")
    exc.__notes__ = 5  # type: ignore[assignment]
    assert "notes" not in pack_exception(exc)
    exc.__notes__ = ["a", 5, "b" * 100_000, *(["c"] * 1000)]  # type: ignore[list-item]
    notes = there_and_back(exc).__notes__
    assert notes[0] == "a"
    assert len(notes[1]) == 64 * 1024 + 1
    assert len(notes) < 110


def test_large_arguments_of_a_cause_stay_behind() -> None:
    packed = pack_exception(raised_from(ValueError(b"x" * 100_000)))
    assert "args" not in packed["cause"]
    assert "args" in pack_exception(ValueError(b"x" * 100_000))


def test_arguments_can_be_left_out_everywhere() -> None:
    inner = ExceptionGroup("g", [ValueError(1)])
    packed = without_arguments(pack_exception(raised_from(inner)))
    assert "'args'" not in str(packed)
    assert packed["cause"]["exceptions"][0]["message"] == "1"


@pytest.mark.parametrize(
    ("pack", "cls", "text"),
    [
        ("no such channel", GenericRemoteException, "no such channel"),
        ({"class": "ValueError"}, ValueError, ""),
        ({"message": "text"}, GenericRemoteException, "text"),
        ({"class": None, "message": "text"}, GenericRemoteException, "text"),
        ({"class": "OSError", "message": 5}, OSError, "5"),
        ({"code": 7}, GenericRemoteException, "without a class and a message: {'code': 7}"),
        ({}, GenericRemoteException, "without a class and a message: {}"),
    ],
)
def test_small_servers_say_less(pack: Any, cls: type[Exception], text: str) -> None:
    exc = unpack_exception(pack)
    assert (type(exc), str(exc)) == (cls, text)
    assert exc.parent_traceback == []  # type: ignore[attr-defined]


def test_a_traceback_may_be_one_text() -> None:
    exc = unpack_exception(
        {"class": "ValueError", "message": "v", "traceback": "line 1\nline 2\n"}
    )
    assert parent_of(exc) == "line 1\nline 2\n"
    assert exc.__notes__ == ["Remote traceback:\nline 1\nline 2"]


def test_a_peer_cannot_make_a_chain_cost_more_than_it_is_long() -> None:
    text = "\n" * 100_000
    pack: dict[str, Any] = {"class": "ValueError", "message": text, "traceback": []}
    for _ in range(100):
        cause = {"class": "E", "message": "m", "traceback": [text], "context": pack}
        pack = {"class": "ExceptionGroup", "message": "g", "exceptions": [pack], "cause": cause}
    shown = 0
    exceptions: list[BaseException] = [unpack_exception(pack)]
    while exceptions:
        exc = exceptions.pop()
        shown += len(parent_of(exc)) + sum(map(len, getattr(exc, "__notes__", ())))
        if isinstance(exc, ExceptionGroup):
            exceptions += exc.exceptions
        if exc.__cause__ is not None:
            exceptions.append(exc.__cause__)
    assert shown < 10_000_000


def test_empty_lines_of_a_cause_take_room_as_others_do() -> None:
    pack: dict[str, Any] = {"class": "ValueError", "traceback": [""] * 1_200_000}
    exc = unpack_exception({"class": "OSError", "message": "m", "cause": pack})
    lines = exc.parent_traceback  # type: ignore[attr-defined]
    assert lines[-1].startswith("[what comes after this is left out")
    assert len(lines) < 1_100_000


@given(
    st.recursive(
        st.dictionaries(st.sampled_from(["class", "message"]), st.text() | st.none()),
        lambda packs: st.fixed_dictionaries(
            {"class": st.sampled_from(["ExceptionGroup", "OSError", "Own"])},
            optional={
                "cause": packs | st.none(),
                "context": packs | st.integers(),
                "exceptions": st.lists(packs | st.none()) | st.text(),
                "notes": st.lists(st.text() | st.none()) | st.text(),
                "message": st.text(),
                "args": st.lists(st.text()),
            },
        ),
    )
)
def test_unpacking_a_chain_never_fails(pack: dict[str, Any]) -> None:
    exc = unpack_exception(pack)
    assert isinstance(exc, Exception)
    assert "".join(traceback.format_exception(exc))
