"""Where what a server sends waits for who has asked for it. No sockets here."""

from __future__ import annotations

from collections import deque

from sipyco_rpc.wire.frames import FrameError

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from sipyco_rpc.wire.client_session import ClientSession
    from sipyco_rpc.wire.messages import Message


class Items(deque["Message"]):
    """What a generator gave and nobody has taken yet.

    Attributes:
        room: how many more messages the server may send: the items that were allowed, and the end.
    """

    room = 1


class ReplyRouter:
    """The messages of one connection, by the numbers of the calls that they are for.

    Args:
        session: knows what was asked for.

    Attributes:
        replies: those that nobody has taken yet; late ones to calls that were given up on without
            the server's knowledge among them.
        items: what generators gave, of those that somebody iterates over.
        unwanted: the calls that the server was told to end; what comes of them is dropped.
        untold: the calls that were given up and that the server has not been told of, each with
            whether it still owes a message. Any thread may add to it, at any time.
        notices: what tells it of those that it is being told of.
    """

    def __init__(self, session: ClientSession) -> None:
        self.replies: deque[Message] = deque()
        self.items: dict[int, Items] = {}
        self.unwanted: set[int] = set()
        self.untold: deque[tuple[int, bool]] = deque()
        self.notices = bytearray()
        self._session = session

    def put(self, messages: list[Message]) -> None:
        """Sort messages in; what nobody waits for is dropped.

        Raises:
            FrameError: they are more than was asked for.
        """
        for message in messages:
            number = message[0]
            items = self.items.get(number)
            if items is not None:
                if not items.room:
                    raise FrameError(f"more items of call {number} than it was asked for")
                items.room -= 1
                items.append(message)
            elif number in self.unwanted:
                self.unwanted.discard(number)
            elif number == self._session.asked:
                self.replies.clear()  # there is one reply
                self.replies.append(message)
            elif number > self._session.asked:
                raise FrameError("a message that nobody had asked for")

    def drop_late(self) -> None:
        """Drop the replies that came while nobody waited for one.

        Raises:
            FrameError: one is that to a request which is not even sent.
        """
        asked, replies = self._session.asked, self.replies
        # An old server may answer a request of which it has seen enough.
        early = 0 if self._session.framed else 1
        while replies and replies[0][0] <= asked:
            replies.popleft()
        if len(replies) > early:
            raise FrameError("a message that nobody had asked for")

    def give_up(self, number: int) -> bool:
        """Drop what a generator gave; tell whether the server has to be told."""
        items = self.items.pop(number, None)
        return items is not None and not (items and self._have_ended(items))

    def _have_ended(self, items: Items) -> bool:
        """Tell whether the last message of a generator has come."""
        try:
            more, _ = self._session.receive_item(items[-1])
        except Exception:  # noqa: BLE001  (whatever it is, it is not known to be the last)
            return False
        return not more

    def collect_notices(self) -> None:
        """Make notices of what the server has not been told of."""
        while self.untold:
            number, owed = self.untold[0]
            if owed:
                self.unwanted.add(number)
            self.notices += self._session.cancel(number)
            del self.untold[0]
