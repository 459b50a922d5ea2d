"""The subscribers of `sync_struct`: mods in, a copy of the structure that stays in step."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from sipyco_rpc.limits import MAX_LINE
from sipyco_rpc.net.tls import SimpleSSLConfig, client_ssl_contexts
from sipyco_rpc.support.quoting import excerpt, short_message, short_repr
from sipyco_sync._dialects import decode_line
from sipyco_sync._feed_client import Callback, FeedClient, SubscriptionEnded, call
from sipyco_sync._limits import MAX_MOD_SHOWN
from sipyco_sync._mods import Mod
from sipyco_sync.notifier import process_mod

BANNER: Final = b"ARTIQ sync_struct\n"

logger = logging.getLogger("sipyco.sync_struct")


def early_end(notifier_name: str) -> str:
    """Say why a publisher closes a connection before anything has come."""
    return (
        "the publisher closed the connection without sending anything: "
        f"it has probably no notifier `{notifier_name}`, or no place for one more, or it uses TLS "
        "or does not trust our certificate"
    )


def decode_mod(line: bytes | bytearray) -> Mod:
    """Read a mod in either dialect of PYON.

    Raises:
        ValueError: it is none.
        TypeError, ImportError: it holds a value of a type that is not known here.
    """
    try:
        mod = decode_line(line)
    except RecursionError as exc:
        raise ValueError(f"a mod is nested too deeply: {exc}") from exc
    if not isinstance(mod, dict) or not isinstance(mod.get("action"), str):
        raise ValueError(f"expected a mod, got {short_repr(mod)}")
    return mod


def initial_struct(mod: Mod) -> Any:
    """Return the structure of the first mod.

    Raises:
        ValueError: there is none.
    """
    if mod["action"] != "init":
        raise ValueError(f"expected `init` as the first mod, got `{excerpt(mod['action'])}`")
    if "struct" not in mod:
        raise ValueError("received an `init` without a structure")
    return mod["struct"]


class Subscriber(FeedClient):
    """Keep a copy of a publisher's structure.

        subscriber = Subscriber("datasets", lambda struct: struct, notify_cb=print)
        await subscriber.connect("::1", 3250)

    Callbacks may be coroutine functions; each is awaited before the next mod is taken.

    Args:
        notifier_name: the name under which the structure is published.
        target_builder: is called with each new structure, and returns the copy that is then kept
            up to date: the structure itself, or what else has the methods of its containers.
        notify_cb: one function or a list of them; each gets every mod, as `ModAction` describes
            it, after it was applied. An exception in one is logged and ends the subscription.
        disconnect_cb: is called when the connection ends other than by `close`.
        reconnect: None, or seconds to wait before connecting again once a connection was lost.
            The wait grows by half with each attempt, to 12 times. A fresh copy comes first then.
        state_cb: is called with the `SubscriptionState` when it changes.
        max_line: longest mod to accept, in bytes.

    Attributes:
        notify_cbs: list of the callbacks, which may be changed at any time.
        disconnect_cb: as given; it may be assigned later.
        receive_task: the task that receives, after `connect`. It ends without an error.
        reader: of the connection, after `connect`.
        writer: likewise.
    """

    _banner = BANNER
    _logger = logger
    _decode = staticmethod(decode_mod)

    def __init__(
        self,
        notifier_name: str,
        target_builder: Callable[[Any], Any],
        notify_cb: Callback | list[Callback] | None = None,
        disconnect_cb: Callback | None = None,
        *,
        reconnect: float | None = None,
        state_cb: Callback | None = None,
        max_line: int = MAX_LINE,
    ) -> None:
        super().__init__(notifier_name, notify_cb, disconnect_cb, reconnect, state_cb, max_line)
        self._early_end = early_end(notifier_name)
        self.notifier_name = notifier_name
        self.target_builder = target_builder
        self.__target: Any = None
        self.__has_target = False

    async def connect(
        self,
        host: str,
        port: int,
        before_receive_cb: Callback | None = None,
        ssl_config: SimpleSSLConfig | None = None,
        *,
        local_cert: str | None = None,
        local_key: str | None = None,
        peer_cert: str | None = None,
    ) -> None:
        """Connect, and begin to receive.

        Args:
            host: name or address of the publisher.
            port: its TCP port.
            before_receive_cb: is called once there is a connection, before anything is received.
            ssl_config: for TLS that trusts certificates.
            local_cert: path of our certificate, a PEM file, for TLS that also verifies that
                the certificate of the other side is for `host`. Not with `ssl_config`.
            local_key: path of its private key.
            peer_cert: path of the certificates to trust.

        Raises:
            OSError: it cannot connect; also with `reconnect`, which begins after that.
            RuntimeError: it is connected.
        """
        contexts = client_ssl_contexts(ssl_config, local_cert, local_key, peer_cert)
        await self._connect(host, port, contexts, before_receive_cb)

    def _begin(self) -> None:
        self.__has_target = False

    async def _apply(self, mod: Mod) -> None:
        if mod["action"] == "init" or not self.__has_target:
            try:
                struct = initial_struct(mod)
            except ValueError as exc:
                raise SubscriptionEnded(str(exc)) from None
            self.__target = await call(self.target_builder, struct)
            self.__has_target = True
            return
        try:
            process_mod(self.__target, mod)
        except Exception as exc:
            shown = short_repr(mod, MAX_MOD_SHOWN)
            logger.debug("mod that cannot be applied: %s", shown, exc_info=True)
            reason = f"{type(exc).__name__}: {short_message(exc)}"
            raise SubscriptionEnded(
                f"received a mod that does not fit the copy: {reason}"
            ) from exc
