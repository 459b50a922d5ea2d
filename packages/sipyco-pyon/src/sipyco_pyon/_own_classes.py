"""Enumerations and dataclasses of programs as tags: their classes tell how to rebuild them.

Loaded with the standard types. A peer names none but those that were registered here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from enum import Enum, Flag
from typing import Any, Final

from sipyco_pyon._registry import _encoders, deregister, register
from sipyco_pyon._standard_types import expect
from sipyco_pyon.limits import MAX_FLAGS

# These are written as what they are derived from, whatever is registered.
_PLAIN: Final = (str, int, float, list, tuple, dict)


def check_class(cls: Any) -> None:
    """Check that a class is an enumeration or a dataclass that can be registered.

    Raises:
        TypeError: it is not.
    """
    is_enum = isinstance(cls, type) and issubclass(cls, Enum)
    if not is_enum and not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        raise TypeError(
            f"expected an Enum or a dataclass, got {cls!r}; for other classes: `pyon.register`"
        )
    for base in _PLAIN:
        if issubclass(cls, base):
            raise TypeError(
                f"`{cls.__name__}` cannot be registered: its values are written as the "
                f"`{base.__name__}` that they are"
            )
    if issubclass(cls, Flag) and _mask(cls).bit_length() > MAX_FLAGS:
        raise TypeError(
            f"`{cls.__name__}` has more than {MAX_FLAGS} flags: send `.value`, and make it of that"
        )


def register_class(name: str, cls: type[Any]) -> None:
    """Register a class, of which `check_class` says nothing; again, if it is registered already.

    Raises:
        AssertionError: another class has the name, or this one has another name.
    """
    known = _encoders.get(cls)
    if known is not None and known.name == name:
        return  # by the program itself, perhaps, in its own way
    for other, registered in list(_encoders.items()):
        # A class that is defined once more, as in a notebook, takes the place of the former.
        if registered.name == name and _address(other) == _address(cls):
            deregister([other], name)
    encode, decode = _codec_of(cls)
    register([cls], name=name, encode=encode, decode=_naming_errors(name, decode))
    if not issubclass(cls, Enum):
        _encoders[cls].content = "field"


def _address(cls: type) -> tuple[str, str]:
    return cls.__module__, cls.__qualname__


def _naming_errors(name: str, decode: Callable[..., Any]) -> Callable[..., Any]:
    """Have all that is wrong with the arguments of a tag be an error that names it."""

    def checked(*arguments: Any) -> Any:
        try:
            return decode(*arguments)
        except (ImportError, RecursionError):
            raise
        except Exception as exc:
            raise ValueError(f"malformed `{name}`: {exc}") from exc

    return checked


def _codec_of(cls: type[Any]) -> tuple[Callable[[Any], Any], Callable[..., Any]]:
    if issubclass(cls, Flag):
        mask = _mask(cls)

        def to_flag(value: Any) -> Any:
            if expect(value, int) & ~mask:
                raise ValueError("flags that it does not have")
            return cls(value)

        return lambda flag: [flag.value], to_flag
    if issubclass(cls, Enum):
        members = cls.__members__

        def to_member(name: Any) -> Any:
            member = members.get(expect(name, str))
            if member is None:
                raise ValueError(f"it has no member `{name:.60}`")
            return member

        return lambda member: [member.name], to_member
    return _codec_of_dataclass(cls)


def _mask(cls: type[Flag]) -> int:
    mask = 0
    for member in cls.__members__.values():
        mask |= member.value
    return mask


def _codec_of_dataclass(cls: type[Any]) -> tuple[Callable[[Any], Any], Callable[..., Any]]:
    fields = {field.name: field.init for field in dataclasses.fields(cls)}

    def encode(value: Any) -> list[Any]:
        return [{name: getattr(value, name) for name in fields}]

    def decode(content: Any) -> Any:
        unknown = [name for name in expect(content, dict) if name not in fields]
        if unknown:
            raise ValueError(f"it has no field `{unknown[0]!s:.60}`")
        value = cls(**{name: item for name, item in content.items() if fields[name]})
        for name, item in content.items():
            if not fields[name]:
                object.__setattr__(value, name, item)  # it may be frozen
        return value

    return encode, decode
