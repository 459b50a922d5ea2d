"""The actions of `sipyco_rpctool` that measure: `ping` and `bench`."""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from sipyco_pyon import pyon
from sipyco_rpc.pc_rpc import Client
from sipyco_tools._cli.output import FAILED, flush, show
from sipyco_tools._rpctool.methods import select, select_any
from sipyco_tools._rpctool.status import duration, size
from sipyco_tools._rpctool.values import each, json_text, parse_arguments

_SAMPLES: Final = 100_000  # of which percentiles are taken, however many there were


class Durations:
    """How long things took: their number, the extremes, and percentiles of a random sample."""

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self._least = float("inf")
        self._most = 0.0
        self._sample: list[float] = []

    def add(self, seconds: float) -> None:
        """Note one more."""
        self.count += 1
        self.total += seconds
        self._least = min(self._least, seconds)
        self._most = max(self._most, seconds)
        if len(self._sample) < _SAMPLES:
            self._sample.append(seconds)
        elif (place := random.randrange(self.count)) < _SAMPLES:  # noqa: S311
            self._sample[place] = seconds

    def summary(self, percentiles: Sequence[int] = ()) -> dict[str, float]:
        """Give them in seconds, by their names: `min`, `mean`, `median`, `p90`, `max`."""
        found = {"min": self._least, "mean": self.total / self.count}
        if percentiles:
            sample = self._sample * 2 if len(self._sample) == 1 else self._sample
            cuts = statistics.quantiles(sample, n=100, method="inclusive")
            found |= {"median" if p == 50 else f"p{p}": cuts[p - 1] for p in percentiles}
        return found | {"max": self._most}


def ping(client: Client, args: argparse.Namespace) -> None:
    """Print round-trip times until there were enough, or Ctrl-C; then a summary."""
    select_any(client, args)
    pings = _Pings(client, args)
    try:
        pings.go_on()
    finally:
        pings.summarize()
    if not pings.answered.count:
        raise SystemExit(FAILED)


class _Pings:
    """The requests of one `ping`, and what came of them."""

    def __init__(self, client: Client, args: argparse.Namespace) -> None:
        self.answered = Durations()
        self._client = client
        self._args = args
        self._sent = 0

    def go_on(self) -> None:
        """Send one after another until there were enough."""
        while True:
            self._sent += 1
            self._send()
            if self._sent == self._args.count:
                break
            time.sleep(self._args.interval)

    def _send(self) -> None:
        try:
            seconds: float | None = self._client.ping_rpc()
        except TimeoutError:
            seconds = None  # the next may be answered
        if seconds is not None:
            self.answered.add(seconds)
        if self._args.json:
            show(json_text({"ping": self._sent, "seconds": seconds}))
        elif seconds is None:
            show(f"{self._sent}: no answer within {self._args.timeout:g} s")
        else:
            show(f"{self._sent}: {duration(seconds)}")
        flush()

    def summarize(self) -> None:
        """Print how many there were, and how long they took."""
        found = self.answered.summary() if self.answered.count else {}
        if self._args.json:
            counts = {"sent": self._sent, "answered": self.answered.count}
            seconds = {f"{name}_seconds": value for name, value in found.items()}
            show(json_text({**counts, **seconds}))
            return
        show(f"{self._sent} sent, {self.answered.count} answered")
        if found:
            show(f"round trip: {_in_words(found)}")


def bench(client: Client, args: argparse.Namespace) -> None:
    """Call again and again, and print how fast that was."""
    positional, named = parse_arguments(args.args)
    received: deque[Any] = deque(maxlen=1)  # the last item or value stands for the others
    items = 0
    if args.method is None:
        select_any(client, args)
        what, call = "ping", client.ping_rpc
    else:
        select(client, args)
        method: Callable[..., Any] = getattr(client, args.method)
        what = f"`{client.get_selected_target()}.{args.method}`"

        def call() -> Any:
            nonlocal items
            for value in each(method(*positional, **named)):
                received.append(value)
                items += 1

    durations = Durations()
    started = now = time.perf_counter()
    while now < started + args.seconds:
        before = now
        call()
        now = time.perf_counter()
        durations.add(now - before)
    rates = {}
    if args.method is not None:
        rates["sent"] = _encoded_size([positional, named]) * durations.count
        rates["received"] = sum(map(_encoded_size, received)) * items
    _show_bench(args, what, now - started, durations, rates)


def _show_bench(
    args: argparse.Namespace,
    what: str,
    seconds: float,
    durations: Durations,
    transferred: dict[str, int],
) -> None:
    found = durations.summary((50, 90, 99))
    per_second = durations.count / seconds
    if args.json:
        document: dict[str, Any] = {"calls": durations.count, "seconds": seconds}
        document["calls_per_second"] = per_second
        document |= {f"{name}_seconds": value for name, value in found.items()}
        document |= {
            f"{name}_bytes_per_second": count / seconds for name, count in transferred.items()
        }
        show(json_text(document))
        return
    show(f"{durations.count} calls of {what} in {duration(seconds)}: {per_second:.0f} per second")
    show(f"a call took: {_in_words(found)}")
    for name, total in transferred.items():
        show(f"{name}: {size(total / seconds)} per second")


def _in_words(found: dict[str, float]) -> str:
    return ", ".join(f"{name} {duration(seconds)}" for name, seconds in found.items())


def _encoded_size(value: Any) -> int:
    """Count the bytes of a value on the wire, without what is around it."""
    buffers: list[memoryview] = []
    text = pyon.encode_bytes(value, buffer_callback=buffers.append)
    return len(text) + sum(map(len, buffers))
