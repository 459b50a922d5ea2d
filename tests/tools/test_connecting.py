"""Log forwarders, log servers and commands: hosts of several addresses, and what is none."""

from __future__ import annotations

import argparse
import asyncio
import logging
import socket
import sys
from typing import Any

import pytest

from sipyco_rpc.net.keepalive import async_open_connection
from sipyco_rpc.net.tls import SimpleSSLConfig
from sipyco_tools import common_args, sipyco_rpctool
from sipyco_tools._logging import connection as connection_module
from sipyco_tools._logging.connection import LogConnection
from sipyco_tools._logging.queue import QueuedEntry
from sipyco_tools._logging.session import BANNER
from sipyco_tools.logging_tools import LogForwarder, Server
from support.addresses import ends_of_two, first_address_dead
from support.certificates import paths_of
from support.event_loops import every_loop, loop_factory
from support.feeds import comes_true, port_of
from support.peers import DEADLINE, HOST
from support.records import recorded


@pytest.mark.parametrize("form", ["plain", "config", "paths"])
def test_where_the_first_address_is_dead_a_forwarder_takes_the_second(form: str) -> None:
    theirs, ours = ends_of_two(form)

    said = {"msg": "locked", "name": "laser", "levelno": logging.INFO, "levelname": "INFO"}

    async def main() -> None:
        log_server = Server()
        async with asyncio.timeout(DEADLINE), log_server:
            await log_server.start(HOST, 0, **theirs)
            with first_address_dead(port_of(log_server)) as host, recorded() as records:
                forwarder = LogForwarder(host, port_of(log_server), **ours)
                forwarder.emit(logging.makeLogRecord(said))
                forwarder.start()
                await comes_true(lambda: records)
                await forwarder.stop()
                assert [record[2] for record in records] == ["locked"]

    asyncio.run(main())


@every_loop
def test_a_connection_with_tls_that_was_closed_tells_nothing_of_its_last_entry(
    loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "_IN_FLIGHT", 0.0)
    monkeypatch.setattr(connection_module, "_RESET_TIMEOUT", 0.0)
    ours = SimpleSSLConfig(**paths_of("client", "server")).create_client_context()

    async def main() -> None:
        log_server = Server()
        async with asyncio.timeout(DEADLINE):
            await log_server.start(HOST, 0, **paths_of("server", "client"))  # type: ignore[arg-type]
            port = port_of(log_server)
            reader, writer = await async_open_connection(HOST, port, ssl=ours)
            connection = LogConnection(reader, writer, asyncio.Event())
            with recorded() as records:
                writer.write(BANNER + b"lab:INFO:laser:locked\n")
                await comes_true(lambda: records)
            connection._last = QueuedEntry(b"lab:INFO:laser:locked\n")
            await log_server.stop()
            await comes_true(lambda: connection.ended)
            await connection.close()
            doubtful = await connection.in_doubt()
        assert doubtful is None

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(main())


def test_a_forwarder_that_finds_no_address_says_the_name(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        forwarder = LogForwarder("nosuch.invalid", 1066, reconnect_timer=1000)
        forwarder.start()
        await comes_true(lambda: caplog.records)
        await forwarder.stop()

    asyncio.run(main())
    assert ": could not connect to nosuch.invalid port 1066; trying every 1000" in caplog.text


@pytest.mark.parametrize("wrong", [65536 + 1066, -1, 0, "http", True])
def test_what_cannot_be_a_port_is_refused_at_once(wrong: Any) -> None:
    with pytest.raises(ValueError, match=f"from 1 to 65535, got {wrong!r}$"):
        LogForwarder(HOST, wrong)
    if wrong != 0:
        with pytest.raises(ValueError, match=f"from 0 to 65535, got {wrong!r}$"):
            asyncio.run(Server().start([HOST], wrong))


def test_a_forwarder_refuses_what_others_do() -> None:
    for host in ("a..b", "", "x" * 64):
        with pytest.raises(ValueError, match="a host is the name or address of a computer"):
            LogForwarder(host, 1066)
    for pause in (0, -1, float("inf"), float("nan"), True, "5"):
        text = r"reconnect_timer is a number of seconds from 0\.001 to 100000, got"
        with pytest.raises(ValueError, match=text):
            LogForwarder(HOST, 1066, reconnect_timer=pause)  # type: ignore[arg-type]


def test_the_error_of_a_log_server_has_the_name() -> None:
    with pytest.raises(socket.gaierror, match=r"could not listen on nosuch\.invalid port 1066"):
        asyncio.run(Server().start("nosuch.invalid", 1066))


@pytest.mark.parametrize("ports", [68786, [("notify", "sync", 3250), ("control", "rpc", 68786)]])
def test_a_default_that_cannot_be_a_port_is_refused(ports: Any) -> None:
    with pytest.raises(ValueError, match="a port is a whole number from 0 to 65535, got 68786"):
        common_args.simple_network_args(argparse.ArgumentParser(), ports)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((HOST, "68786"), "a port is a whole number from 1 to 65535, got '68786'"),
        ((HOST, "0"), "a port is a whole number from 1 to 65535, got '0'"),
        ((HOST, "http"), "a port is a whole number from 1 to 65535, got 'http'"),
        (("a..b", "1"), "a host is the name or address of a computer"),
        (("--timeout", "inf", HOST, "1"), "a timeout is a positive number of seconds"),
        (("--timeout", "0", HOST, "1"), "a timeout is a positive number of seconds"),
        (("--timeout", "nan", HOST, "1"), "a timeout is a positive number of seconds"),
    ],
)
def test_the_command_says_how_it_is_used(
    arguments: tuple[str, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["sipyco_rpctool", *arguments, "list-targets"])
    with pytest.raises(SystemExit) as raised:
        sipyco_rpctool.main()
    assert raised.value.code == 2
    assert said in capsys.readouterr().err


def test_the_command_says_the_name_that_it_does_not_find(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["sipyco_rpctool", "nosuch.invalid", "1", "list-targets"])
    with pytest.raises(SystemExit) as raised:
        sipyco_rpctool.main()
    assert raised.value.code == 1
    assert "could not connect to nosuch.invalid port 1" in capsys.readouterr().err
