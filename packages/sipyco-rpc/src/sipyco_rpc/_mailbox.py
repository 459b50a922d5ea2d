"""Where what a server sends waits for who has asked for it. No sockets here."""

from __future__ import annotations

from collections import deque

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from sipyco_rpc.messages import Message


class Mailbox:
    """The messages of one connection, by the numbers of the calls that they are for.

    Attributes:
        replies: those that nobody has taken yet; late ones to calls that were given up on without
            the server's knowledge among them.
        items: what generators gave, of those that somebody iterates over.
        unwanted: the calls that the server was told to end; what comes of them is dropped.
    """

    def __init__(self) -> None:
        self.replies: deque[Message] = deque()
        self.items: dict[int, deque[Message]] = {}
        self.unwanted: set[int] = set()

    def put(self, messages: list[Message]) -> None:
        """Sort messages in."""
        if not self.items and not self.unwanted:
            self.replies += messages
            return
        for message in messages:
            number = message[0]
            if number in self.items:
                self.items[number].append(message)
            elif number in self.unwanted:
                self.unwanted.discard(number)
            else:
                self.replies.append(message)
