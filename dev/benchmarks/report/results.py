"""All that a run gave, as a JSON file keeps it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, Final

from dev.benchmarks.model import Outcome

__all__ = ["Results", "load", "store"]

_FORMAT: Final = 1


@dataclass
class Results:
    """A run.

    Attributes:
        machine: what `machine.describe` said.
        rounds: how many there were.
        quick: whether each was short.
        peers: whether those that must be installed were to be measured.
        outcomes: by the names of experiments.
    """

    machine: dict[str, Any]
    rounds: int
    quick: bool
    peers: bool
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    @property
    def compiled(self) -> bool:
        """Whether the serializer ran compiled."""
        return bool(self.machine.get("compiled"))


def store(results: Results, path: str | PathLike[str]) -> None:
    """Write a run to a file."""
    document = {"format": _FORMAT, **asdict(results)}
    document["outcomes"] = [asdict(outcome) for outcome in results.outcomes.values()]
    Path(path).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def load(path: str | PathLike[str]) -> Results:
    """Read a run from a file.

    Raises:
        ValueError: it is no such file.
    """
    document = json.loads(Path(path).read_text(encoding="utf-8"))
    if not isinstance(document, dict) or document.pop("format", None) != _FORMAT:
        raise ValueError(f"{path} holds no results of benchmarks in format {_FORMAT}")
    outcomes = [Outcome(**outcome) for outcome in document.pop("outcomes")]
    return Results(**document, outcomes={outcome.name: outcome for outcome in outcomes})
