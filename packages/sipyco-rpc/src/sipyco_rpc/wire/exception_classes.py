"""The registry of exception classes of programs: by name, on both sides. No sockets here.

A peer names a class; which one that is, if any, is told by this process alone. Nothing is imported
by a name, and no constructor of a program runs: what it would have done was done where the
exception was raised.
"""

from __future__ import annotations

import builtins

from sipyco_rpc.limits import MAX_KEY_SHOWN, MAX_SYNTAX_OFFSET

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Final, TypeVar, overload

    E = TypeVar("E", bound=type[Exception])

BUILT_IN: Final = {
    name: value
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
}

# On a peer's word they would end programs, or tasks.
_ENDING: Final = (GeneratorExit, KeyboardInterrupt, SystemExit)

_classes: dict[str, type[Exception]] = {}
_names: dict[type[BaseException], str] = {}

if TYPE_CHECKING:

    @overload
    def register_exception(exception_class: E, *, name: str | None = None) -> E: ...
    @overload
    def register_exception(exception_class: None = None, *, name: str) -> Callable[[E], E]: ...


def register_exception(exception_class: Any = None, *, name: str | None = None) -> Any:
    """Have exceptions of a class arrive as what they are, where both sides register it.

        @register_exception
        class PsuError(Exception): ...

        register_exception(other.PsuError, name="other.PsuError")

    The arguments of the exception and its attributes come along, as far as PYON can hold them.
    `__init__` is not called where it arrives. An exception of a derived class that is not known
    there arrives as its nearest registered base.

    Args:
        exception_class: the class; without it, a decorator is returned.
        name: what both sides call it; by default the name of the class, without its module.

    Returns:
        The class.

    Raises:
        TypeError: it is not a class derived from `Exception`, or one that ends programs.
        ValueError: it is built in, or another class has the name, or it has another name.
    """
    if exception_class is None:
        return lambda decorated: register_exception(decorated, name=name)
    if (
        not isinstance(exception_class, type)
        or not issubclass(exception_class, Exception)
        or issubclass(exception_class, _ENDING)
    ):
        raise TypeError(
            "expected a class that is derived from Exception and does not end programs, "
            f"got {exception_class!r}"
        )
    if BUILT_IN.get(exception_class.__name__) is exception_class:
        raise ValueError(f"`{exception_class.__name__}` is built in: it arrives as what it is")
    name = exception_class.__name__ if name is None else name
    if type(name) is not str or not name:
        raise TypeError(f"a name is a string, got {name!r}")
    known = _names.get(exception_class, name)
    if known != name:
        raise ValueError(f"`{address_of(exception_class)}` is registered already, as `{known}`")
    other = _classes.get(name, exception_class)
    # A class that is defined once more, as in a notebook, takes the place of the former.
    if address_of(other) != address_of(exception_class):
        raise ValueError(
            f"the name `{name}` is that of `{address_of(other)}` already; "
            f"give `{address_of(exception_class)}` another one, on both sides: name=…"
        )
    _names.pop(other, None)
    _classes[name] = exception_class
    _names[exception_class] = name
    return exception_class


def deregister_exception(exception_class: type[Exception]) -> None:
    """Undo `register_exception`.

    Raises:
        KeyError: the class is not registered.
    """
    del _classes[_names.pop(exception_class)]


def address_of(cls: type[BaseException]) -> str:
    """Give the name of a class as Python shows it in a traceback."""
    module = "" if cls.__module__ in ("builtins", "__main__") else f"{cls.__module__}."
    return f"{module}{cls.__qualname__}"


def names_of(cls: type[BaseException]) -> list[str]:
    """Give the names under which a class and its bases are registered, its own first."""
    return [_names[base] for base in cls.__mro__ if base in _names] if _names else []


def class_of(names: Any) -> type[Exception] | None:
    """Find the first class that is registered of those that a peer names."""
    for name in names if isinstance(names, (list, tuple)) else ():
        if isinstance(name, str) and name in _classes:
            return _classes[name]
    return None


def built_in_base(cls: type[Exception]) -> Any:
    """Give the base that is Python's own: the one that has the most to hold, or the nearest."""
    bases = [base for base in cls.__mro__ if BUILT_IN.get(base.__name__) is base]
    return max(bases, key=lambda base: base.__basicsize__)


class _Sample:
    __slots__ = ("slot",)


_Slot: Final = type(_Sample.slot)  # type: ignore[attr-defined]


def _slots_of(cls: type[BaseException]) -> dict[str, Any]:
    """Give what reads and sets the attributes that are in slots of a class."""
    return {
        name: slot
        for base in reversed(cls.__mro__)
        if "__slots__" in vars(base)
        for name, slot in vars(base).items()
        if type(slot) is _Slot
    }


def own_dict(exc: BaseException) -> dict[str, Any]:
    """Give the dictionary of an exception, whatever its class says of setting attributes."""
    found: dict[str, Any] = object.__getattribute__(exc, "__dict__")
    return found


def add_note(exc: BaseException, note: str) -> None:
    """Do what `BaseException.add_note` does, whatever the class says of setting attributes."""
    own_dict(exc).setdefault("__notes__", []).append(note)


def attributes_of(exc: BaseException) -> dict[str, Any]:
    """Give the attributes of an exception that may travel."""
    cls, found = type(exc), dict(own_dict(exc))
    for name, slot in _slots_of(cls).items():
        try:
            found[name] = slot.__get__(exc)
        except AttributeError:
            pass  # it was not set
    return {name: value for name, value in found.items() if _is_attribute(cls, name)}


def _is_attribute(cls: type[BaseException], name: object) -> bool:
    """Tell whether an exception of a class may have a name as an attribute that travels.

    What hides a method, or belongs to all exceptions, such as notes, does not.
    """
    if not isinstance(name, str) or name in ("parent_traceback", "remote_class"):
        return False
    return not any(
        _can_be_hidden(vars(base)[name]) or base is BaseException
        for base in cls.__mro__
        if name in vars(base)
    ) and not name.startswith("__")


def _can_be_hidden(found: object) -> bool:
    """Tell whether this is a method, or something of a class that becomes one."""
    kind = type(found)
    return callable(found) or (hasattr(kind, "__get__") and not hasattr(kind, "__set__"))


def build(
    exception_class: type[Exception], arguments: Sequence[Any], attributes: Any
) -> Exception:
    """Make an exception of a class that is registered, without code of the class.

    Args:
        exception_class: the class.
        arguments: what a peer says that it has in `args`.
        attributes: and as attributes, if that is a dictionary.

    Raises:
        Exception: the built-in base of the class refuses the arguments.
    """
    base = built_in_base(exception_class)
    if not is_sound(base, arguments):
        raise ValueError(f"no arguments of a `{base.__name__}`")
    exc: Exception = base.__new__(exception_class, *arguments)
    base.__init__(exc, *arguments)
    slots, own = _slots_of(exception_class), own_dict(exc)
    for name, value in attributes.items() if isinstance(attributes, dict) else ():
        if not _is_attribute(exception_class, name):
            continue
        if name in slots:
            slots[name].__set__(exc, value)
        else:
            own[name] = value
    return exc


class _Verbatim(str):
    """A text that is its own `repr`, for `KeyError`, which shows the `repr` of its argument."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _key_of(message: str) -> object:
    """Find the key that a `KeyError` was about in its text."""
    if len(message) > MAX_KEY_SHOWN:
        return _Verbatim(message)
    try:
        import ast  # takes long to load, and is rarely needed

        key: object = ast.literal_eval(message)
        return key
    except (ValueError, SyntaxError, MemoryError, RecursionError, OSError, ImportError):
        return _Verbatim(message)  # of the last two: no descriptor is left to load `ast` with


def _is_syntax_location(details: Any) -> bool:
    """Tell whether this is the place of a syntax error: file, line, offset, text, and end."""
    if not isinstance(details, (tuple, list)) or len(details) not in (4, 6):
        return False
    texts, numbers = details[0:4:3], [*details[1:3], *details[4:]]
    return all(text is None or type(text) is str for text in texts) and all(
        number is None or (type(number) is int and 0 <= number <= MAX_SYNTAX_OFFSET)
        for number in numbers
    )


def is_sound(cls: type[Exception], arguments: Any) -> bool:
    """Tell whether the arguments of an exception may be trusted by its `str` and by `traceback`.

    Unicode errors index the text that they are about without looking, and a position outside of it
    crashes the interpreter (CPython issue 123378). A place in a source that is none makes
    `traceback` raise an error of its own when it is to show a syntax error.
    """
    if issubclass(cls, SyntaxError):
        return len(arguments) < 2 or (len(arguments) == 2 and _is_syntax_location(arguments[1]))
    if not issubclass(cls, UnicodeError) or cls is UnicodeError:
        return True
    if cls is UnicodeTranslateError:
        arguments = (None, *arguments)
    if len(arguments) != 5:
        return False
    _, content, start, end, _ = arguments
    kind = bytes if cls is UnicodeDecodeError else str
    return (
        type(content) is kind
        and type(start) is int
        and type(end) is int
        and 0 <= start <= end <= len(content)
        and start < len(content)
    )


def build_built_in(cls: type[Exception], message: str, arguments: Any) -> Exception:
    """Make an exception whose text is the message, of the class or its nearest possible base."""
    if isinstance(arguments, (tuple, list)) and is_sound(cls, arguments):
        exc = _try_to_build(cls, message, arguments)
        if type(exc) is cls:
            return exc
    arguments = (message,) if message else ()
    for base in cls.__mro__[: cls.__mro__.index(Exception)]:
        key = base is KeyError and message
        exc = _try_to_build(base, message, (_key_of(message),) if key else arguments)
        if exc is not None:
            return exc
    return Exception(*arguments)


def _try_to_build(cls: type[Exception], message: str, arguments: Any) -> Exception | None:
    """Make an exception of its arguments, if it can be made so and its text is the message."""
    try:
        exc = cls(*arguments)
        return exc if str(exc) == message else None
    except Exception:  # noqa: BLE001  (its constructor wants something else)
        return None
