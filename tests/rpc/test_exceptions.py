"""Exceptions as dictionaries, and back, whatever a peer says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipyco_rpc.packed_exceptions import (
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
