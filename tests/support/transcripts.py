"""Recorded conversations of the reference implementation, and how to compare with them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from sipyco_pyon import pyon, pyon_v1

FOLDER = Path(__file__).parents[1] / "data" / "transcripts"


class Transcript:
    """One conversation: what it is, its events, and what the client program saw."""

    def __init__(self, path: Path) -> None:
        first, *events = [json.loads(line) for line in path.read_text().splitlines()]
        self.name = path.stem
        self.about: dict[str, Any] = first
        self.events: list[dict[str, Any]] = [event for event in events if "dir" in event]
        results = [event["client_result"] for event in events if "client_result" in event]
        self.client_result: list[dict[str, Any]] = results[0] if results else []

    def connections(self) -> list[list[dict[str, Any]]]:
        """Return the events of each connection."""
        numbers = sorted({event["conn"] for event in self.events})
        return [[e for e in self.events if e["conn"] == number] for number in numbers]


def load(pattern: str) -> list[Transcript]:
    return [Transcript(path) for path in sorted(FOLDER.glob(pattern))]


def raw(event: dict[str, Any]) -> bytes:
    """Return the bytes of an event."""
    if "hex" in event:
        return bytes.fromhex(event["hex"]) + b"\n"
    if "partial" in event:
        return event["partial"].encode()
    return event["line"].encode() + b"\n"


def masked(text: str) -> str:
    """Hide what differs from run to run."""
    text = re.sub(r"0x[0-9a-f]+", "0x", text)
    return text.replace("OrderedDict([('z', 1)])", "OrderedDict({'z': 1})")  # Python's since 3.12


def comparable(line: bytes, v2: bool) -> Any:
    """Decode a line of a server, and drop what carries no meaning."""
    value = (pyon.decode(line) if v2 else pyon_v1.decode(line.decode())) if line else line
    if isinstance(value, set):
        return {name for name in value if not name.startswith("_")}
    if isinstance(value, dict) and "exception" in value:
        exception = value["exception"]
        return (exception["class"], masked(exception["message"]))
    if isinstance(value, dict) and "status" in value:
        # The reference loses an OrderedDict; we do not.
        return masked(repr(value["ret"])).replace("OrderedDict({'z': 1})", "{'z': 1}")
    return value
