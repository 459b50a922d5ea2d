"""Exceptions as dictionaries, and back, whatever a peer says."""

from __future__ import annotations

import sys
import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipyco_rpc.wire.exceptions import (
    GenericRemoteException,
    current_exc_packed,
    pack_exception,
    raise_packed_exc,
    unpack_exception,
)


class Own(Exception):
    pass


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def there_and_back(exc: BaseException, *, arguments: bool = True) -> Exception:
    pack = pack_exception(exc)
    if not arguments:
        pack.pop("args", None)
    return unpack_exception(pack)


@pytest.mark.parametrize(
    "exc",
    [
        ValueError("bad"),
        KeyError("k"),
        KeyError(5),
        OSError(2, "No such file", "/x"),
        FileNotFoundError(2, "No such file", "/x"),
        TimeoutError("slow"),
        FileExistsError(17, "File exists", "/x", None, "/y"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        AssertionError(),
        StopAsyncIteration(1),
        RuntimeError("line1\nline2"),
        SyntaxError("bad"),
    ],
    ids=repr,
)
def test_built_in_exceptions_come_back_as_themselves(exc: Exception) -> None:
    back = there_and_back(exc)
    assert type(back) is type(exc)
    assert str(back) == str(exc)
    assert getattr(back, "errno", None) == getattr(exc, "errno", None)
    without = there_and_back(exc, arguments=False)
    assert isinstance(exc, type(without))
    assert str(without) == str(exc)


def test_the_traceback_comes_along() -> None:
    try:
        raise ValueError("bad")
    except ValueError:
        pack = current_exc_packed()
    assert pack["class"] == "ValueError"
    assert pack["message"] == "bad"
    assert "test_the_traceback_comes_along" in pack["traceback"][0]
    with pytest.raises(ValueError) as caught:
        raise_packed_exc(pack)
    assert caught.value.parent_traceback == pack["traceback"]  # type: ignore[attr-defined]
    assert "test_the_traceback_comes_along" in caught.value.__notes__[0]


def test_other_exceptions_are_described() -> None:
    pack = pack_exception(Own("text"))
    assert pack["class"] == "GenericRemoteException"
    assert pack["message"].endswith("Own: text")
    assert type(unpack_exception(pack)) is GenericRemoteException
    # A chain of servers does not add to it.
    assert pack_exception(unpack_exception(pack))["message"] == pack["message"]
    assert "Unprintable" in pack_exception(Unprintable())["message"]


@pytest.mark.parametrize(
    "name", ["KeyboardInterrupt", "SystemExit", "GeneratorExit", "eval", "Own", "object", "", None]
)
def test_a_peer_names_nothing_but_exceptions(name: Any) -> None:
    exc = unpack_exception({"class": name, "message": "m", "traceback": []})
    assert type(exc) is GenericRemoteException
    assert "m" in str(exc)


@given(
    st.dictionaries(
        st.sampled_from(["class", "message", "traceback", "args"]),
        st.sampled_from(["OSError", "KeyError", "UnicodeDecodeError", "ExceptionGroup"])
        | st.none()
        | st.text()
        | st.lists(st.text() | st.integers() | st.none())
        | st.tuples(st.text(), st.binary(), st.integers(), st.integers(), st.text()),
    )
)
def test_unpacking_never_fails(pack: dict[str, Any]) -> None:
    assert isinstance(unpack_exception(pack), Exception)


def test_the_text_of_a_key_is_parsed_only_if_it_may_be_one() -> None:
    for message in ("(" * 900 + ")" * 900, "[" * 1_000_000, "9" * 5000, "-" * 100_000):
        exc = unpack_exception({"class": "KeyError", "message": message, "traceback": []})
        assert type(exc) is KeyError
        assert str(exc) == message
    exc = unpack_exception({"class": "KeyError", "message": "('a', 5)", "traceback": []})
    assert exc.args == (("a", 5),)


@pytest.mark.parametrize(
    ("number", "shown"),
    [(10**5000, "<int>"), ([10**5000], "[<int>]")],
    ids=["integer", "list"],
)
def test_what_cannot_be_shown_is_no_obstacle(number: Any, shown: str) -> None:
    """Python refuses to show an integer of more than 4,300 digits; an array may take minutes."""
    for pack in (
        {"class": "ValueError", "message": number},
        {"class": number, "message": "m"},
        {"class": "GenericRemoteException", "message": number},
        {"class": "Other", "message": number, "args": [number], "traceback": number},
        {"class": "KeyError", "message": number, "args": [number]},
    ):
        exc = unpack_exception(pack)
        assert shown in str(exc)
        assert isinstance(repr(exc), str)


def test_a_key_is_shown_where_its_parser_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ast", None)  # as without a descriptor to load it with
    exc = unpack_exception({"class": "KeyError", "message": "'k'"})
    assert (type(exc), str(exc)) == (KeyError, "'k'")


def test_a_long_key_is_not_parsed() -> None:
    """Python's parser takes some 500 times of the memory."""
    short, long = "[" + "0, " * 20_000 + "0]", "[" + "0, " * 22_000 + "0]"
    assert unpack_exception({"class": "KeyError", "message": short}).args == ([0] * 20_001,)
    exc = unpack_exception({"class": "KeyError", "message": long})
    assert type(exc) is KeyError
    assert str(exc) == exc.args[0] == long


@pytest.mark.parametrize("name", ["SyntaxError", "IndentationError"])
@pytest.mark.parametrize(
    "details",
    [
        ["f", 10**5000, 1, "text"],
        ["f", "x", 1, "text"],
        ["f", 1, "x", "text"],
        ["f", 1, 1.5, "text"],
        ["f", 1, 1, 5],
        ["f", 1, 1, "text", "a", "b"],
        ["f", 1, 1, "text", 1, []],
        ["f", 1, -5, "text", 1, 10**30],
        [5, 1, 1, "text"],
        ["f", 1, 1],
        5,
    ],
    ids=lambda details: str(len(details)) if isinstance(details, list) else "none",
)
def test_a_place_that_is_none_does_not_break_the_traceback(name: str, details: Any) -> None:
    """`traceback` raises an error of its own in showing it, in the midst of handling one."""
    for message in ("m", "m (f, line 1)", "m (line 1)", "m (f, line -1)"):
        pack = {"class": name, "message": message, "args": ["m", details]}
        exc = unpack_exception(pack)
        assert type(exc).__name__ == name
        assert str(exc) == message
        assert message in "".join(traceback.format_exception(exc))


def test_the_place_of_a_syntax_error_comes_along() -> None:
    with pytest.raises(SyntaxError) as exc_info:
        compile("a = (", "driver.py", "exec")
    exc = there_and_back(exc_info.value)
    assert isinstance(exc, SyntaxError)
    assert (exc.filename, exc.lineno) == ("driver.py", 1)
    assert exc.text is not None
    assert exc.text.rstrip() == "a = ("


def test_arguments_that_cannot_be_sent_stay_behind() -> None:
    pack = pack_exception(ValueError(object))
    assert pack == {"class": "ValueError", "message": "<class 'object'>", "traceback": []}
    back = unpack_exception(pack)
    assert (type(back), str(back)) == (ValueError, "<class 'object'>")


def test_an_exception_is_packed_where_one_is_handled() -> None:
    with pytest.raises(RuntimeError, match="no exception is being handled"):
        current_exc_packed()


@pytest.mark.parametrize("arguments", [["utf-8", "", 0, 1], [], ["utf-8", [], 0, 0, "", "more"]])
def test_too_few_arguments_of_a_unicode_error_are_not_used(arguments: list[Any]) -> None:
    pack = {"class": "UnicodeDecodeError", "message": "bad", "args": arguments}
    back = unpack_exception(pack)
    assert (type(back), str(back)) == (UnicodeError, "bad")
