"""Structures that one process owns and that are kept in step in many: the public names."""

from __future__ import annotations

from sipyco_sync._feed_client import SubscriptionState
from sipyco_sync._publisher import Publisher
from sipyco_sync._snapshot import blocking_snapshot, snapshot
from sipyco_sync._subscriber import Subscriber
from sipyco_sync._thread_subscriber import ThreadSubscriber
from sipyco_sync.notifier import ModAction, Notifier, process_mod, update_from_dict

__all__ = [
    "ModAction",
    "Notifier",
    "Publisher",
    "Subscriber",
    "SubscriptionState",
    "ThreadSubscriber",
    "blocking_snapshot",
    "process_mod",
    "snapshot",
    "update_from_dict",
]

# The address that pickles hold: it lasts when a file moves.
for _public in (Publisher, Subscriber, ThreadSubscriber, blocking_snapshot, snapshot):
    _public.__module__ = __name__
