"""Exceptions of a program's own arrive as what they are, where both sides have registered them."""

from __future__ import annotations

import asyncio
import copy
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from sipyco_pyon import pyon
from sipyco_rpc import packed_exceptions, pc_rpc
from sipyco_rpc.wire.exceptions import (
    GenericRemoteException,
    deregister_exception,
    pack_exception,
    register_exception,
    unpack_exception,
)
from support.peers import DEADLINE, HOST, rpc_server


class PsuError(Exception):
    """Its arguments are not those of its constructor, as is common."""

    def __init__(self, channel: int, *, limit: float) -> None:
        super().__init__(f"channel {channel} is over {limit} V")
        self.channel = channel
        self.limit = limit
        self.driver = object()  # cannot be sent

    def hint(self) -> str:
        return f"lower channel {self.channel}"


class OverTemperature(PsuError):
    pass


class BusError(OSError):
    pass


class BadText(UnicodeDecodeError):
    pass


class ManyErrors(LookupError, ExceptionGroup[Exception]):
    pass


class TimeoutError(Exception):
    """Named as a built-in one is."""


class Hiding(Exception):
    @classmethod
    def of(cls, text: str) -> Hiding:
        return cls(text)

    @staticmethod
    def worst() -> int:
        return 5

    @functools.cached_property
    def longest(self) -> int:
        return 5

    again = functools.partialmethod(Exception.add_note, "again")


@dataclass(frozen=True)
class Frozen(Exception):
    """Sets no attributes in the usual way, as some that define `__setattr__` do not."""

    channel: int
    parent_traceback = remote_class = property(lambda exc: vars(exc))


@dataclass
class Slotted(Exception):
    __slots__ = ("_Slotted__own", "channel", "unset")
    channel: int

    def __post_init__(self) -> None:
        self.__own = self.channel


class Shown(Exception):
    def __str__(self) -> str:
        return f"on {self.port}"  # type: ignore[attr-defined]


MODULE = PsuError.__module__
REGISTERED = [
    *(PsuError, BusError, BadText, ManyErrors, TimeoutError, Shown),
    *(Hiding, Frozen, Slotted),
]


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    for cls in REGISTERED:
        register_exception(cls)
    yield
    for cls in REGISTERED:
        try:
            deregister_exception(cls)
        except KeyError:
            pass  # by the test


def over_wire(pack: dict[str, Any]) -> dict[str, Any]:
    decoded: dict[str, Any] = pyon.decode(pyon.encode(pack))
    return decoded


def there_and_back(exc: BaseException) -> Any:
    return unpack_exception(over_wire(pack_exception(exc)))


def test_it_arrives_with_its_arguments_and_attributes() -> None:
    back = there_and_back(PsuError(3, limit=5.0))
    assert type(back) is PsuError
    assert back.args == ("channel 3 is over 5.0 V",)
    assert (str(back), back.channel, back.limit) == ("channel 3 is over 5.0 V", 3, 5.0)
    assert back.hint() == "lower channel 3"
    assert not hasattr(back, "driver")


def test_those_who_do_not_know_it_see_what_they_have_always_seen() -> None:
    pack = pack_exception(PsuError(3, limit=5.0))
    assert pack == {
        "class": "GenericRemoteException",
        "message": f"{MODULE}.PsuError: channel 3 is over 5.0 V",
        "traceback": [],
        "type": f"{MODULE}.PsuError",
        "names": ["PsuError"],
        "args": ("channel 3 is over 5.0 V",),
        "attributes": {"channel": 3, "limit": 5.0},
    }
    deregister_exception(PsuError)
    back = unpack_exception(over_wire(pack))
    assert type(back) is GenericRemoteException
    assert str(back) == f"{MODULE}.PsuError: channel 3 is over 5.0 V"
    assert back.remote_class == f"{MODULE}.PsuError"
    assert not hasattr(back, "__notes__")


def test_a_class_that_the_server_has_not_registered_is_named() -> None:
    deregister_exception(PsuError)
    pack = pack_exception(PsuError(3, limit=5.0))
    assert set(pack) == {"class", "message", "traceback", "type"}
    register_exception(PsuError, name=f"{MODULE}.PsuError")  # what is in `type` is no name
    back = unpack_exception(over_wire(pack))
    assert type(back) is GenericRemoteException
    assert back.remote_class == f"{MODULE}.PsuError"
    # A chain of servers adds nothing to it.
    again = there_and_back(back)
    assert (str(again), again.remote_class) == (str(back), back.remote_class)


def test_older_sides_do_not_name_it_apart_from_the_text() -> None:
    pack = {"class": "GenericRemoteException", "message": "psu.PsuError: hot", "traceback": []}
    back = unpack_exception(pack)
    assert isinstance(back, GenericRemoteException)
    assert back.remote_class is None
    back = unpack_exception({"class": "PsuError", "message": "hot"})  # a small server
    assert isinstance(back, GenericRemoteException)
    assert back.remote_class == "PsuError"


def test_a_derived_class_arrives_as_the_nearest_base_that_is_known() -> None:
    back = there_and_back(OverTemperature(3, limit=5.0))
    assert type(back) is PsuError
    assert back.channel == 3
    assert back.remote_class == f"{MODULE}.OverTemperature"
    register_exception(OverTemperature)
    try:
        pack = over_wire(pack_exception(OverTemperature(3, limit=5.0)))
        assert pack["names"] == ["OverTemperature", "PsuError"]
        assert type(unpack_exception(pack)) is OverTemperature
    finally:
        deregister_exception(OverTemperature)
    assert type(unpack_exception(pack)) is PsuError


def test_what_belongs_to_an_operating_system_error_comes_along() -> None:
    back = there_and_back(BusError(5, "Input/output error", "/dev/gpib0"))
    assert type(back) is BusError
    assert (back.errno, back.filename) == (5, "/dev/gpib0")
    assert str(back) == "[Errno 5] Input/output error: '/dev/gpib0'"


def test_a_name_of_a_built_in_class_may_be_one_of_ones_own() -> None:
    assert type(there_and_back(TimeoutError("slow"))) is TimeoutError
    deregister_exception(TimeoutError)
    pack = pack_exception(TimeoutError("slow"))
    assert (pack["class"], pack["message"]) == (
        "GenericRemoteException",
        f"{MODULE}.TimeoutError: slow",
    )


def test_causes_and_members_are_of_their_classes_too() -> None:
    outer = RuntimeError("outer")
    outer.__cause__ = PsuError(1, limit=2.0)
    back = there_and_back(ManyErrors("many", [outer, PsuError(2, limit=3.0)]))
    assert type(back) is ManyErrors
    assert str(back) == "many (2 sub-exceptions)"
    one, two = back.exceptions
    assert (type(one), type(one.__cause__), one.__cause__.channel) == (RuntimeError, PsuError, 1)
    assert (type(two), two.channel) == (PsuError, 2)


def test_a_group_without_members_is_what_can_be_made_of_it() -> None:
    pack = over_wire(pack_exception(ManyErrors("many", [ValueError("a")])))
    del pack["exceptions"]
    back = unpack_exception(pack)
    assert type(back) is GenericRemoteException
    assert "could not be made of what came: TypeError" in back.__notes__[0]


def test_a_group_whose_class_refuses_its_members_is_a_plain_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pack = over_wire(pack_exception(ManyErrors("many", [ValueError("a")])))
    monkeypatch.setattr("sipyco_rpc.wire.exception_classes.build", lambda *_: 1 / 0)
    back = unpack_exception(pack)
    assert type(back) is ExceptionGroup
    assert "could not be made of what came: ZeroDivisionError" in back.__notes__[0]


def test_notes_and_the_remote_traceback_are_as_for_others() -> None:
    exc = PsuError(3, limit=5.0)
    exc.add_note("is it switched on?")
    try:
        raise exc
    except PsuError:
        pack = over_wire(pack_exception(exc))
    assert "__notes__" not in pack["attributes"]
    back = unpack_exception(pack)
    assert back.__notes__[0] == "is it switched on?"
    assert back.__notes__[1].startswith("Remote traceback:\n")
    assert back.parent_traceback == pack["traceback"]  # type: ignore[attr-defined]


def test_arguments_that_cannot_be_sent_leave_the_text() -> None:
    exc = TimeoutError("slow", object)
    back = there_and_back(exc)
    assert (type(back), back.args) == (TimeoutError, (str(exc),))
    pack = over_wire(pack_exception(TimeoutError("slow")))
    del pack["args"]  # as in a dialect in which they cannot be written
    assert unpack_exception(pack).args == ("slow",)
    pack["message"] = pack["type"]
    assert unpack_exception(pack).args == ()


def test_long_arguments_of_causes_stay_behind() -> None:
    cause = TimeoutError("t" * 100_000)
    cause.more = b"x" * 100_000  # type: ignore[attr-defined]
    cause.count = 5  # type: ignore[attr-defined]
    outer = RuntimeError()
    outer.__cause__ = cause
    pack = pack_exception(outer)["cause"]
    assert pack["attributes"] == {"count": 5}
    assert pack["args"] == ("t" * 100_000,)  # the message, which is there in any case


@pytest.mark.parametrize(
    ("names", "arguments", "reason"),
    [
        (["BadText"], ["utf-8", b"", 5, 6, "x"], "no arguments of a `UnicodeDecodeError`"),
        (["BadText"], [], "no arguments of a `UnicodeDecodeError`"),
        (["Shown"], ["x"], "AttributeError: 'Shown' object has no attribute 'port'"),
    ],
)
def test_what_the_class_does_not_take_is_said(names: Any, arguments: Any, reason: str) -> None:
    pack = {
        "class": "GenericRemoteException",
        "message": "a.B: text",
        "type": "a.B",
        "names": names,
        "args": arguments,
    }
    back = unpack_exception(pack)
    assert type(back) is GenericRemoteException
    assert str(back) == "a.B: text"
    (note,) = back.__notes__
    assert note.startswith(f"`{MODULE}.{names[0]}` is registered for it, but could not be made of")
    assert reason in note


@pytest.mark.parametrize("names", [None, "PsuError", 5, [], [5, ["PsuError"]], ["eval"], {"a": 1}])
def test_a_peer_names_nothing_that_is_not_registered(names: Any) -> None:
    pack = {"class": "GenericRemoteException", "message": "m", "type": 5, "names": names}
    back = unpack_exception(pack)
    assert type(back) is GenericRemoteException
    assert back.remote_class is None


@pytest.mark.parametrize(
    "attributes", [None, 5, [["channel", 3]], {"hint": 3, "add_note": 3, "__class__": 3, 5: 5}]
)
def test_attributes_of_a_peer_hide_nothing(attributes: Any) -> None:
    attributes = {
        "class": "GenericRemoteException",
        "message": "m",
        "names": ["PsuError"],
        "args": ["text"],
        "notes": ["a note"],
        "attributes": attributes,
    }
    back: Any = unpack_exception(attributes)
    assert (type(back), str(back), back.__notes__) == (PsuError, "text", ["a note"])
    assert set(vars(back)) == {"__notes__", "parent_traceback", "remote_class"}


@pytest.mark.parametrize("name", ["of", "worst", "longest", "again"])
def test_attributes_of_a_peer_hide_no_method_of_whatever_kind(name: str) -> None:
    pack = pack_exception(Hiding("text"))
    back = unpack_exception({**pack, "attributes": {name: "hidden", "other": 1}})
    assert type(back) is Hiding
    assert vars(back)["other"] == 1
    assert getattr(back, name) != "hidden"


def test_a_class_whose_attributes_cannot_be_set_arrives() -> None:
    error = Frozen(3)
    object.__setattr__(error, "__cause__", ValueError("why"))
    object.__setattr__(error, "__notes__", ["a note"])
    back = there_and_back(error)
    assert (type(back), back.args, back.channel) == (Frozen, (3,), 3)
    assert (type(back.__cause__), back.__notes__) == (ValueError, ["a note"])
    assert vars(back)["parent_traceback"]
    assert vars(back)["remote_class"] == f"{MODULE}.Frozen"
    group = there_and_back(ManyErrors("many", [Frozen(4)]))
    assert group.exceptions[0].channel == 4


def test_attributes_in_slots_come_along() -> None:
    back = there_and_back(Slotted(3))
    assert (type(back), back.args, back.channel, back._Slotted__own) == (Slotted, (3,), 3, 3)
    assert "channel" not in vars(back)
    assert not hasattr(back, "unset")


def test_no_constructor_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    pack = over_wire(pack_exception(PsuError(3, limit=5.0)))
    monkeypatch.setattr(PsuError, "__init__", lambda *_, **__: pytest.fail("called"))
    monkeypatch.setattr(PsuError, "__new__", lambda *_, **__: pytest.fail("called"))
    assert unpack_exception(pack).channel == 3  # type: ignore[attr-defined]


def test_it_is_a_decorator_and_gives_the_class() -> None:
    @register_exception
    class Plain(Exception):
        pass

    @register_exception(name="lab.Named")
    class Named(Exception):
        pass

    try:
        assert there_and_back(Plain("text")).args == ("text",)
        assert pack_exception(Named())["names"] == ["lab.Named"]
        assert type(there_and_back(Named())) is Named
        assert register_exception(Plain) is Plain  # once more
    finally:
        deregister_exception(Plain)
        deregister_exception(Named)
    with pytest.raises(KeyError):
        deregister_exception(Plain)


def make_class() -> type[Exception]:
    class Cell(Exception):
        pass

    return Cell


def test_a_class_that_is_defined_anew_takes_the_place_of_the_former() -> None:
    former, latter = register_exception(make_class()), register_exception(make_class())
    try:
        assert type(there_and_back(latter("x"))) is latter
        assert "names" not in pack_exception(former("x"))
    finally:
        deregister_exception(latter)


class EndsPrograms(Exception, KeyboardInterrupt):
    pass


@pytest.mark.parametrize(
    ("cls", "kind", "text"),
    [
        (5, TypeError, "expected a class that is derived from Exception .*, got 5"),
        (PsuError(1, limit=2.0), TypeError, "expected a class"),
        (BaseException, TypeError, "expected a class"),
        (asyncio.CancelledError, TypeError, "expected a class"),
        (EndsPrograms, TypeError, "does not end programs"),
        (ValueError, ValueError, "`ValueError` is built in"),
    ],
)
def test_what_cannot_be_registered_is_refused(cls: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        register_exception(cls)


def test_names_are_one_for_each_class() -> None:
    other = type("PsuError", (Exception,), {"__module__": "elsewhere"})
    with pytest.raises(
        ValueError, match=r"the name `PsuError` is that of .*, on both sides: name="
    ):
        register_exception(other)
    with pytest.raises(ValueError, match=r"is registered already, as `PsuError`"):
        register_exception(PsuError, name="other")
    with pytest.raises(TypeError, match="a name is a string, got 5"):
        register_exception(other, name=5)  # type: ignore[call-overload]
    assert register_exception(other, name="elsewhere.PsuError") is other
    deregister_exception(other)


def test_it_can_be_copied() -> None:
    back = there_and_back(TimeoutError("slow"))
    assert copy.copy(back).args == ("slow",)


def test_it_is_where_programs_look_for_it() -> None:
    assert pc_rpc.register_exception is packed_exceptions.register_exception
    assert pc_rpc.deregister_exception is packed_exceptions.deregister_exception
    assert register_exception.__module__ == "sipyco_rpc.packed_exceptions"


class Psu:
    def fail(self) -> None:
        raise PsuError(3, limit=5.0)

    async def fail_later(self) -> None:
        raise PsuError(4, limit=5.0)

    def items(self) -> Iterator[int]:
        yield 1
        raise PsuError(5, limit=5.0)


@pytest.mark.usefixtures("either_protocol")
@pytest.mark.parametrize("threaded", [False, True], ids=["plain", "threaded"])
def test_except_clauses_of_all_clients_name_it(threaded: bool) -> None:
    async def ask(port: int) -> None:
        client = pc_rpc.AsyncioClient()
        await client.connect_rpc(HOST, port, "psu")
        try:
            with pytest.raises(PsuError) as caught:
                await client.fail_later()
            assert caught.value.channel == 4
        finally:
            await client.close_rpc()

    with rpc_server({"psu": Psu()}, threaded=threaded) as port:
        with pc_rpc.Client(HOST, port, "psu", DEADLINE) as client:
            with pytest.raises(PsuError) as caught:
                client.fail()
            assert (caught.value.channel, caught.value.limit) == (3, 5.0)
            assert any("raise PsuError(3" in note for note in caught.value.__notes__)
        best_effort: Any = pc_rpc.BestEffortClient(HOST, port, "psu", firstcon_timeout=DEADLINE)
        try:
            with pytest.raises(PsuError, match="channel 3"):
                best_effort.fail()
        finally:
            best_effort.close_rpc()
        asyncio.run(ask(port))


def test_generators_raise_it() -> None:
    with (
        rpc_server({"psu": Psu()}) as port,
        pc_rpc.Client(HOST, port, "psu", DEADLINE) as client,
    ):
        items = client.items()
        assert next(items) == 1
        with pytest.raises(PsuError) as caught:
            next(items)
        assert caught.value.channel == 5
