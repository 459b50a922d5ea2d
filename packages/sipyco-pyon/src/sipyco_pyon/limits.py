"""Limits of values and their texts; the page of limits is made from this module."""

from __future__ import annotations

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from typing import Final

# --- what a program may change ---

MAX_DIGITS: Final = 100_000  # digits; they take some 50 ms, and twice as many three times as long
"""An integer in a value (`sys.set_int_max_str_digits` with more, or 0 for no limit, lifts this one
as well); the text of a `Decimal` likewise. `ValueError`, in reading and in writing."""

# --- what only protects ---

MAX_DIMENSIONS: Final = 64  # dimensions; more than any array has
"""The dimensions of an array. `ValueError`."""

MAX_EMPTY_ITEMS: Final = 2**20  # items; they take no room in a document, and may do so in memory
"""Items of an array whose items have no bytes. `ValueError`."""

UNCHECKED_KEYS: Final = 256  # keys; fewer take no longer in any case than what each key may take
"""Keys of a dictionary, or items of a set, that are read without being counted, if not all are
strings or bytes. Collisions of more of them in Python's tables are counted, within the next three
limits."""

COMPARISONS_PER_KEY: Final = 128  # comparisons; some 25 ns each
"""Comparisons with others that have the same hash, for each key, or item of a tuple that is one;
each 256 characters of a string in a tuple are one more item. `ValueError`: they were chosen to
collide."""

PROBES_PER_KEY: Final = 1024  # slots; some 5 ns each; three million numbers need 300
"""Slots of a hash table that are probed in vain, for each key. `ValueError`: they would take the
square of the time."""

PROBES_PER_TEXT: Final = 32 * 1024 * 1024  # slots; some 0.1 s: a bad `__hash__` is no attack
"""Slots that one text may probe on top of these, of which a comparison takes 16. Collisions are
counted from there on."""

MAX_V1_ITEMS: Final = 2 * 1024 * 1024  # items; Python's parser takes up to 1,500 bytes for each
"""A text of PYON v1: an array is one item, a number of a list one (two with a negative exponent),
a string two, a pair of numbers four. `ValueError` in reading, but of files."""

MAX_FLAGS: Final = 16  # bits; Python keeps each combination that was ever there
"""Flags of an enumeration that is registered. `TypeError` in registering it."""

MAX_BUFFERS: Final = 4096  # buffers; a receiver has to keep an account of each
"""Arrays that travel beside the text of a value, in a frame. A sender has the data of further
arrays in the text."""

MAX_HOOK_CALLS: Final = 10_000  # calls; hooks may make new values each time, for ever
"""Calls of registered encoders in the search for a value that contains itself. The search ends,
and the error says that it is nested too deeply."""

ABANDONED_AFTER: Final = 600.0  # seconds; one that was only slow writes another
"""A temporary file of `store_file` that nobody writes to. A later `store_file` in its directory
removes it: a killed process has left it. Neither the id of a process nor a lock would tell, for
others may be on other hosts, and locks of network file systems may hang."""
