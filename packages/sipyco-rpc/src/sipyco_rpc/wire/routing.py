"""Routes what a server sends to the calls that wait for it, by its numbers. No values here."""

from __future__ import annotations

from collections import deque

from sipyco_rpc.limits import CREDIT_BYTES, MAX_CREDIT, MIN_CREDIT
from sipyco_rpc.wire.frames import FrameError, pack_frame
from sipyco_rpc.wire.lines import LineTooLong
from sipyco_rpc.wire.session import Session

TYPE_CHECKING = False  # what `typing` has, without the time that it takes to load
if TYPE_CHECKING:
    from collections.abc import Container, Sequence
    from typing import Final

    from sipyco_rpc.wire.messages import Message

_UNASKED: Final = "a message that nobody had asked for"


class ItemQueue(deque["Message"]):
    """The messages of one generator that have come and nobody has taken.

    The server may send few large items, many small ones: about a megabyte of them, at least two.

    Attributes:
        credit: how many more items the server may send; below 0 once its last message has come,
            for which it needs none.
    """

    credit = 0
    _window = MIN_CREDIT  # how many items may be on their way or wait here
    _largest = 1  # of the items so far, in bytes

    def put(self, message: Message) -> None:
        """Add a message that has come.

        Raises:
            FrameError: the server was to send no more.
        """
        if self.credit < 0:
            raise FrameError(f"more items of call {message[0]} than it was asked for")
        self.credit -= 1
        self.append(message)

    def due(self) -> int:
        """Tell how many more items to allow now; 0 for none."""
        allowed = self.credit + len(self)
        return self._window - allowed if allowed <= self._window // 2 else 0

    def take(self) -> Message:
        """Take the message that came first."""
        message = self.popleft()
        _, text, buffers = message
        size = text.size if isinstance(text, LineTooLong) else len(text)
        if buffers:
            size += sum(map(len, buffers))
        if size > self._largest or self._window < MAX_CREDIT:
            self._largest = max(size, self._largest)
            # It grows by steps: the next may be larger.
            most = min(MAX_CREDIT, 2 * self._window, CREDIT_BYTES // self._largest)
            self._window = max(MIN_CREDIT, most)
        return message


class ReplyRouter(Session):
    """What a client has sent, what the server owes, and whose message it is that comes.

    What is received is put where `incoming.memory` says, and announced to `receive`. Without
    frames replies come in the order of the requests, so the numbers of both are counted.

    Ctrl-C may strike in the middle of anything: each change that matters is a single step.

    Attributes:
        requests_sent: how many requests were sent. Whoever sends one increases it by one as soon
            as all of it is on its way.
        replies: those that nobody has taken yet; late ones to cancelled calls among them.
        streams: what generators gave, by the numbers of their calls, while somebody iterates.
        ignored_ids: the cancelled calls whose reply is still to come, and to be dropped.
        pending_cancels: the cancelled calls that the server has not been told of, each with
            whether its reply is still to come. Any thread may add to it, at any time.
        control_frames: what is to be sent before anything else, and is not answered by itself.
    """

    def __init__(self, max_message: int) -> None:
        super().__init__(max_message)
        self.requests_sent = 0
        self.replies: deque[Message] = deque()
        self.streams: dict[int, ItemQueue] = {}
        self.ignored_ids: set[int] = set()
        self.pending_cancels: deque[tuple[int, bool]] = deque()
        self.control_frames = bytearray()

    @property
    def replies_pending(self) -> int:
        """How many messages are to come, or with frames: how many calls may still get some."""
        if self.framed:
            return len(self.ignored_ids) + len(self.streams)
        return self.requests_sent - self.incoming.lines

    def receive(self, size: int) -> Sequence[int]:
        """Note that bytes have been received, and sort the messages that are complete by then.

        Returns:
            The numbers of the generators that gave something.

        Raises:
            FrameError: the server does not keep to the rules.
        """
        messages = self.incoming.take(size)
        if self.streams or self.ignored_ids:
            return self._route(messages)
        self.replies += messages
        return ()

    def _route(self, messages: list[Message]) -> list[int]:
        gave = []
        for message in messages:
            number = message[0]
            queue = self.streams.get(number)
            if queue is not None:
                queue.put(message)
                gave.append(number)
            elif number in self.ignored_ids:
                self.ignored_ids.discard(number)
            else:
                self.replies.append(message)
        return gave

    def has_reply(self, awaited: Container[int]) -> bool:
        """Tell whether the next of `replies` is waited for; drop the late ones before it.

        Args:
            awaited: the numbers of the requests whose replies are waited for.

        Raises:
            FrameError: nobody had asked for it.
        """
        replies = self.replies
        while replies:
            if replies[0][0] in awaited:
                return True
            self.check_late(replies[0])
            replies.popleft()
        return False

    def check_late(self, message: Message) -> None:
        """Refuse a reply that nobody waits for, unless somebody has.

        Raises:
            FrameError: nobody had asked for it.
        """
        if message[0] > self.requests_sent:
            raise FrameError(_UNASKED)

    def drop_late(self) -> None:
        """Drop the replies that came while a request was being sent.

        Raises:
            FrameError: nobody had asked for one of them.
        """
        # An old server may answer a request of which it has seen enough.
        early = () if self.framed else (self.requests_sent + 1,)
        if self.has_reply(early) and len(self.replies) > 1:
            raise FrameError(_UNASKED)

    def check_unasked(self) -> None:
        """Refuse, before a request is sent, what would pass for the reply to it.

        Raises:
            FrameError: nobody had asked for what has come.
        """
        self.has_reply(())
        if not self.framed and not self.replies_pending and self.incoming.pending_size:
            raise FrameError(_UNASKED)

    def open_stream(self, number: int) -> None:
        """Collect what a generator gives, which was the reply of this number."""
        self.streams[number] = ItemQueue()

    def allow_items(self, number: int) -> bool:
        """Let a generator give more items if it is time; tell if that is in `control_frames`."""
        queue = self.streams.get(number)
        if queue is None or not (more := queue.due()):
            return False
        self.control_frames += b"".join(pack_frame(number, b'{"action":"next","n":%d}' % more))
        queue.credit += more
        return True

    def cancel_call(self, number: int, *, reply_pending: bool) -> None:
        """Have the server end a call whose reply nobody waits for: it may be a generator.

        Args:
            number: of the call.
            reply_pending: its reply has not come yet.
        """
        if self.framed:  # otherwise there is no way to tell the server, and no generators
            self.streams.pop(number, None)
            self.pending_cancels.append((number, reply_pending))

    def collect_cancels(self) -> None:
        """Make frames of the cancellations that the server has not been told of.

        They are not answered by themselves. There is exactly one reply to a call that is
        cancelled: the method's own outcome, or the cancellation.
        """
        while self.pending_cancels:
            number, reply_pending = self.pending_cancels[0]
            if reply_pending:
                self.ignored_ids.add(number)
            self.control_frames += b"".join(pack_frame(number, b'{"action":"cancel"}'))
            del self.pending_cancels[0]
