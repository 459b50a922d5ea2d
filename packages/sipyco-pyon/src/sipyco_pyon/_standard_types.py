"""The standard types, such as `datetime`, `Decimal` and `Path`, as tags.

Loaded by the call that switches them on. No enumerations and dataclasses here: see `_own_classes`.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal, InvalidOperation
from pathlib import PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any, Final, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sipyco_pyon._registry import RegisteredType, _decoders, _encoders
from sipyco_pyon._tag_decoder import add_built_in
from sipyco_pyon.limits import MAX_DIGITS

T = TypeVar("T")

# What `fromisoformat` reads is shorter; a longer one would be quoted in its error.
_LONGEST_TIME: Final = 60

# Of names as the time zone database has them: what could lead elsewhere is not looked for.
_ZONE: Final = re.compile(r"[A-Za-z0-9_+-]{1,40}(/[A-Za-z0-9_+-]{1,40}){0,3}")

_DECIMAL: Final = re.compile(
    r"[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d{1,19})?|Inf(inity)?|s?NaN\d*)", re.ASCII | re.IGNORECASE
)


def expect(value: Any, cls: type[T]) -> T:
    """Give a value from a peer, if it is of a class, and of none derived from that."""
    if type(value) is not cls:
        raise ValueError(f"expected {cls.__name__}, got {type(value).__name__}")
    return value


def _text(value: Any) -> str:
    text = expect(value, str)
    if len(text) > _LONGEST_TIME:
        raise ValueError(f"a text of {len(text)} characters")
    return text


# Times: in ISO 8601. An offset is in the text; another time zone comes after it, then the fold.


def _encode_time(value: datetime | time) -> list[Any]:
    zone = value.tzinfo
    plain = zone is None or (type(zone) is timezone and _is_plain(zone))
    arguments = [value.isoformat(), None] if plain else [_naive(value).isoformat(), zone]
    if value.fold:
        return [*arguments, value.fold]
    return arguments[:1] if plain else arguments


def _is_plain(zone: timezone) -> bool:
    """Tell whether a zone is no more than its offset in ISO 8601."""
    offset = zone.utcoffset(None)
    # Before 3.14, `fromisoformat` takes less than a second for nothing.
    short = offset and abs(offset) < timedelta(seconds=1)
    return not short and zone.tzname(None) == timezone(offset).tzname(None)  # it may have a name


def _naive(value: datetime | time) -> datetime | time:
    return value.replace(tzinfo=None)


def _complete(value: Any, zone: Any, fold: Any) -> Any:
    if zone is not None:
        if not isinstance(zone, tzinfo):
            raise ValueError(f"expected a time zone, got {type(zone).__name__}")
        if value.tzinfo is not None:
            raise ValueError("an offset, and a time zone beside it")
        value = value.replace(tzinfo=zone)
    if type(fold) is not int or fold not in (0, 1):
        raise ValueError("a fold is 0 or 1")
    return value.replace(fold=fold)


def _decode_datetime(text: Any, zone: Any = None, fold: Any = 0) -> datetime:
    value: datetime = _complete(datetime.fromisoformat(_text(text)), zone, fold)
    return value


def _decode_time(text: Any, zone: Any = None, fold: Any = 0) -> time:
    value: time = _complete(time.fromisoformat(_text(text)), zone, fold)
    return value


def _decode_timedelta(days: Any, seconds: Any, microseconds: Any) -> timedelta:
    return timedelta(expect(days, int), expect(seconds, int), expect(microseconds, int))


def _decode_timezone(offset: Any, *name: Any) -> timezone:
    return timezone(expect(offset, timedelta), *[expect(part, str) for part in name])


def _encode_zone(zone: ZoneInfo) -> list[Any]:
    if zone.key is None:
        raise TypeError("a time zone without a key is not PYON encodable")
    return [zone.key]


def _decode_zone(key: Any) -> ZoneInfo:
    if _ZONE.fullmatch(_text(key)) is None:
        raise ValueError("no name of a time zone")
    try:
        return ZoneInfo(key)
    except (ZoneInfoNotFoundError, OSError) as exc:
        raise ValueError(
            f"there is no time zone `{key}` on this machine; it may be in: pip install tzdata"
        ) from exc


# Numbers


def _encode_decimal(value: Decimal) -> list[Any]:
    text = str(value)
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a Decimal has at most {MAX_DIGITS} characters, got {len(text)}")
    return [text]


def _decode_decimal(text: Any) -> Decimal:
    if len(expect(text, str)) > MAX_DIGITS:
        raise ValueError(f"at most {MAX_DIGITS} characters, got {len(text)}")
    if _DECIMAL.fullmatch(text) is None:
        raise ValueError("no decimal number")
    try:
        value = Decimal(text)
        if not value.is_nan() or "n" in text.lower():
            return value
    except InvalidOperation:
        pass  # unless the context does not trap it
    raise ValueError("its exponent is too large")


def _encode_range(value: range) -> list[Any]:
    return [int(value.start), int(value.stop), int(value.step)]


def _decode_range(start: Any, stop: Any, step: Any) -> range:
    return range(expect(start, int), expect(stop, int), expect(step, int))


# Texts


def _decode_uuid(text: Any) -> UUID:
    return UUID(_text(text))


def _decode_path(cls: type[Any]) -> Callable[[Any], Any]:
    return lambda text: cls(expect(text, str))


def _encode_text(value: object) -> list[Any]:
    return [str(value)]


# Containers


def _decode_frozenset(items: Any) -> frozenset[Any]:
    return frozenset(expect(items, list))


def _encode_deque(value: deque[Any]) -> list[Any]:
    return [list(value)] if value.maxlen is None else [list(value), value.maxlen]


def _decode_deque(items: Any, *maxlen: Any) -> deque[Any]:
    return deque(expect(items, list), *[expect(limit, int) for limit in maxlen])


_POSIX: Final = os.name == "posix"

# Each with its encoder, its decoder, and what it has in it. A path of the other kind of system
# becomes a pure one; a `bytearray` is written by the writer.
_TYPES: Final[list[tuple[type, Callable[..., Any], Callable[..., Any], str | None]]] = [
    (bytearray, lambda value: [bytes(value)], lambda data: bytearray(expect(data, bytes)), None),
    (date, lambda value: [value.isoformat()], lambda text: date.fromisoformat(_text(text)), None),
    (datetime, _encode_time, _decode_datetime, None),
    (time, _encode_time, _decode_time, None),
    (timedelta, lambda t: [t.days, t.seconds, t.microseconds], _decode_timedelta, None),
    (timezone, lambda zone: list(zone.__getinitargs__()), _decode_timezone, None),
    (ZoneInfo, _encode_zone, _decode_zone, None),
    (Decimal, _encode_decimal, _decode_decimal, None),
    (range, _encode_range, _decode_range, None),
    (UUID, _encode_text, _decode_uuid, None),
    (PurePosixPath, _encode_text, _decode_path(PurePosixPath), None),
    (PureWindowsPath, _encode_text, _decode_path(PureWindowsPath), None),
    (PosixPath, _encode_text, _decode_path(PosixPath if _POSIX else PurePosixPath), None),
    (WindowsPath, _encode_text, _decode_path(PureWindowsPath if _POSIX else WindowsPath), None),
    (frozenset, lambda value: [list(value)], _decode_frozenset, "set"),
    (deque, _encode_deque, _decode_deque, "item"),
]


def register_standard() -> None:
    """Switch the standard types on."""
    for cls, encode, decode, content in _TYPES:
        name = cls.__name__
        # What the program has registered by itself goes on as it is.
        if name not in _decoders:
            add_built_in(name, decode)
            if cls not in _encoders:
                _encoders[cls] = RegisteredType(name, encode, True, content)
