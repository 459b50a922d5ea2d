"""What a server refuses of its targets, and what it says of them, before somebody wonders."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from sipyco_rpc.pc_rpc import AsyncioClient, BestEffortClient, Client, Server
from sipyco_rpc.support.relay import CLIENT_NAMES


class Lda:
    def set_attenuation(self, value: float) -> None:
        """Set it."""


class Plain:
    """A target that hides nothing."""

    close_rpc = "no method"

    @property
    def get_rpc_id(self) -> Any:
        raise AssertionError("nothing of a target is run")


@pytest.mark.parametrize("targets", [Lda(), Lda, {"lda"}, ["lda"], "lda", None, [("lda", Lda())]])
def test_targets_that_are_no_dictionary_are_refused(targets: Any) -> None:
    with pytest.raises(TypeError) as caught:
        Server(targets)
    assert str(caught.value).startswith(
        'targets is a dictionary of objects by their names, such as {"lda": Lda()}, got '
    )
    assert len(str(caught.value)) < 160


def test_the_object_that_was_given_is_named() -> None:
    with pytest.raises(TypeError, match="got <Lda>"):
        Server(Lda())  # type: ignore[arg-type]


def logged(caplog: pytest.LogCaptureFixture, targets: Any, **options: Any) -> list[Any]:
    caplog.set_level(logging.DEBUG, "sipyco.pc_rpc")
    caplog.clear()
    Server(targets, **options)
    return [(record.levelno, record.getMessage()) for record in caplog.records]


def test_a_class_makes_an_object_for_each_connection_which_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    text = (
        "target `lda` is the class `Lda`: each connection gets an object of its own; `Lda()` "
        "would be one for all"
    )
    assert logged(caplog, {"lda": Lda}) == [(logging.INFO, text)]
    assert logged(caplog, {"lda": Lda(), "made": lambda: Lda()}) == []


class Hiding(Lda):
    def terminate(self) -> None:
        """Switch it off."""

    @staticmethod
    def close_rpc() -> None:
        """Close what?"""


@pytest.mark.parametrize("target", [Hiding(), Hiding], ids=["object", "class"])
def test_methods_that_cannot_be_called_are_named(
    target: Any, caplog: pytest.LogCaptureFixture
) -> None:
    of_clients = (
        "method `close_rpc` of target `lda` cannot be called: one of the clients has this name; "
        "rename it"
    )
    of_server = (
        "method `terminate` of target `lda` cannot be called: the server's own has this name; "
        "rename it, or give builtin_terminate=False"
    )

    def warnings(**options: Any) -> list[str]:
        return [
            text
            for level, text in logged(caplog, {"lda": target}, **options)
            if level == logging.WARNING
        ]

    assert warnings() == [of_clients]
    assert warnings(builtin_terminate=True) == [of_clients, of_server]
    allowed = {"lda": ["set_attenuation", "terminate"]}
    assert warnings(builtin_terminate=True, allowed_methods=allowed) == [of_server]


def test_what_hides_nothing_is_not_told_of(caplog: pytest.LogCaptureFixture) -> None:
    assert logged(caplog, {"plain": Plain()}, builtin_terminate=True) == []
    relayed = AsyncioClient()
    assert logged(caplog, {"relayed": relayed}, builtin_terminate=True) == []


def test_the_names_of_the_clients_are_known() -> None:
    names = {
        name
        for client in (Client, AsyncioClient, BestEffortClient)
        for name in vars(client)
        if not name.startswith("_")
    }
    assert names == CLIENT_NAMES
