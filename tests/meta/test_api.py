"""Every name that programs import is there, and can be called as it always could."""

from __future__ import annotations

import importlib
import inspect
import textwrap
from typing import Any

import pytest

# Signatures that programs in the field rely on, by module. More parameters may follow as
# keywords; `...` in place of a default means that there is one, whatever it is.
API: dict[str, str] = {
    "pyon": """
        encode(x, pretty=False, **json_kwargs)
        encode_bytes(x, *, plain_float64=False, buffer_callback=None, end='')
        decode(s, **json_kwargs)
        new_buffer(size)
        store_file(filename, x, **json_kwargs)
        load_file(filename, **json_kwargs)
        register(types, *, name, encode, decode)
        deregister(types, name)
        register_standard_types(*classes, **named)
        wrap(o)
    """,
    "pyon_v1": """
        encode(x, pretty=False)
        decode(s)
        store_file(filename, x)
        load_file(filename)
    """,
    "pc_rpc": """
        Client(host, port, target_name=AutoTarget, timeout=None, ssl_config=None, *, local_cert=None, local_key=None, peer_cert=None)
        Client.select_rpc_target(target_name)
        Client.get_rpc_id()
        Client.get_selected_target()
        Client.get_local_host()
        Client.get_rpc_method_list()
        Client.close_rpc()
        AsyncioClient()
        AsyncioClient.connect_rpc(host, port, target_name=AutoTarget, ssl_config=None, *, local_cert=None, local_key=None, peer_cert=None)
        AsyncioClient.select_rpc_target(target_name)
        AsyncioClient.get_rpc_method_list()
        AsyncioClient.close_rpc()
        BestEffortClient(host, port, target_name, firstcon_timeout=1.0, retry=5.0, ssl_config=None, *, local_cert=None, local_key=None, peer_cert=None)
        BestEffortClient.close_rpc()
        Server(targets, description=None, builtin_terminate=False, allow_parallel=False)
        Server.start(host, port, ssl_config=None, *, local_cert=None, local_key=None, peer_cert=None)
        Server.stop()
        Server.wait_terminate()
        simple_server_loop(targets, host, port, description=None, allow_parallel=False, ssl_config=None, *, loop=None, local_cert=None, local_key=None, peer_cert=None)
    """,
    "packed_exceptions": """
        current_exc_packed()
        raise_packed_exc(pack)
        register_exception(exception_class=None, *, name=None)
        deregister_exception(exception_class)
    """,
    "fire_and_forget": """
        FFProxy(target)
        FFProxy.ff_join()
    """,
    "sync_struct": """
        process_mod(target, mod)
        update_from_dict(target, source)
        Notifier(backing_struct, root=None, path=...)
        Notifier.append(x)
        Notifier.insert(i, x)
        Notifier.pop(i=-1)
        Publisher(notifiers)
        Publisher.start(host, port, ssl_config=None, *, local_cert=None, local_key=None, peer_cert=None)
        Publisher.stop()
        Publisher.publish(notifier, mod)
        Subscriber(notifier_name, target_builder, notify_cb=None, disconnect_cb=None)
        Subscriber.connect(host, port, before_receive_cb=None, ssl_config=None, *, local_cert=None, local_key=None, peer_cert=None)
        Subscriber.close()
    """,
    "broadcast": """
        Broadcaster(queue_limit=1024)
        Broadcaster.start(host, port, ssl_config=None, *, local_cert=None, local_key=None, peer_cert=None)
        Broadcaster.stop()
        Broadcaster.broadcast(name, obj)
        Receiver(name, notify_cb, disconnect_cb=None)
        Receiver.close()
    """,
    "remote_exec": """
        RemoteExecServer(initial_namespace)
        RemoteExecServer.add_code(code)
        RemoteExecServer.call(function, *args, **kwargs)
        simple_rexec_server_loop(target_name, target, host, port, description=None)
        connect_global_rpc(controller_rexec, host=None, port=3251, target='master_dataset_db', name='dataset_db')
    """,
    "logging_tools": """
        multiline_log_config(level)
        log_with_name(name, level, message)
        parse_log_message(msg)
        LogParser(source_cb)
        LogParser.line_input(line)
        LogParser.stream_task(stream)
        Server.start(host, port, ssl_config=None, *, local_cert=None, local_key=None, peer_cert=None)
        Server.stop()
        Server.status()
        SourceFilter(local_level, local_source)
        SQLiteHandler(path, *, max_size=..., max_age=None, source=None)
        LogForwarder(host, port, reconnect_timer=5.0, queue_size=1000, ssl_config=None, *, local_cert=None, local_key=None, peer_cert=None)
        LogForwarder.start()
        LogForwarder.stop()
        LogForwarder._do()
        forward_logs(host, port=1066, *, local_cert=None, local_key=None, peer_cert=None)
    """,
    "common_args": """
        verbosity_args(parser)
        init_logger_from_args(args)
        simple_network_args(parser, default_port, ssl=False)
        bind_address_from_args(args)
    """,
    "asyncio_tools": """
        TaskObject.start(*, loop=None)
        TaskObject.stop()
        TaskObject._do()
        AsyncioServer()
        AsyncioServer.start(host, port, ssl_config=None)
        AsyncioServer.stop()
        AsyncioServer._handle_connection_cr(reader, writer)
        Condition.wait()
        Condition.notify()
        BackgroundTaskPool(loop)
        BackgroundTaskPool.create(coro)
        SignalHandler.setup()
        SignalHandler.teardown()
        SignalHandler.wait_terminate()
        atexit_register_coroutine(coroutine_function, *, loop=None)
        SimpleSSLConfig(local_cert, local_key, peer_cert)
        SimpleSSLConfig.create_client_context()
        SimpleSSLConfig.create_server_context()
    """,
    "keepalive": """
        set_keepalive(sock, after_idle=None, interval=None, max_fails=None)
        async_open_connection(host, port, *args, after_idle=None, interval=None, max_fails=None, **kwargs)
        create_connection(host, port, *args)
    """,
    "pipe_ipc": """
        AsyncioParentComm()
        AsyncioParentComm.get_address()
        AsyncioParentComm.create_subprocess(*args, **kwargs)
        AsyncioParentComm.write(data)
        AsyncioParentComm.drain()
        AsyncioParentComm.readline()
        AsyncioParentComm.read(n)
        AsyncioChildComm(address)
        AsyncioChildComm.connect()
        AsyncioChildComm.write(data)
        AsyncioChildComm.drain()
        AsyncioChildComm.readline()
        AsyncioChildComm.read(n)
        AsyncioChildComm.close()
        ChildComm(address)
        ChildComm.read(n)
        ChildComm.readline()
        ChildComm.write(data)
        ChildComm.close()
    """,
    "sipyco_certs": """
        get_argparser()
        main()
    """,
    "sipyco_logs": """
        get_argparser()
        main()
    """,
    "sipyco_logserver": """
        get_argparser()
        main()
    """,
    "sipyco_rpctool": """
        get_argparser()
        main()
    """,
    "arguments": """
        formatargspec(args, varargs=None, varkw=None, defaults=None, kwonlyargs=..., kwonlydefaults=..., annotations=...)
    """,
    "test.generic_rpc": """
        GenericRPCCase.start_server(name, command, port, sleep=..., target_name=AutoTarget, timeout=...)
        GenericRPCCase.stop_server(name, timeout=...)
    """,
    "test.ssl_certs": """
        create_ssl_certs(directory)
        create_ssl_config(role, certs)
    """,
}

# What is no function or class with a signature of its own.
OTHERS: dict[str, list[str]] = {
    "pyon": ["_numpy_scalar"],
    "pc_rpc": ["AutoTarget", "IncompatibleServer", "_socket_readline"],
    "packed_exceptions": ["GenericRemoteException"],
    "sync_struct": ["ModAction"],
    "logging_tools": ["TRACE", "MultilineFormatter", "_fwd_logger"],
    "asyncio_tools": ["TaskObject"],
}

LINES = [
    (module, line)
    for module, lines in API.items()
    for line in textwrap.dedent(lines).strip().splitlines()
]


def find(module: str, dotted: str) -> Any:
    found = importlib.import_module(f"sipyco.{module}")
    for name in dotted.split("."):
        found = getattr(found, name)
    return found


def expected(module: str, parameters: str) -> list[inspect.Parameter]:
    namespace = {"AutoTarget": find("pc_rpc", "AutoTarget")}
    exec(f"def f({parameters}): pass", namespace)
    return list(inspect.signature(namespace["f"]).parameters.values())


@pytest.mark.parametrize(("module", "line"), LINES, ids=lambda value: str(value).split("(")[0])
def test_it_can_be_called_as_it_always_could(module: str, line: str) -> None:
    dotted, _, rest = line.partition("(")
    real = list(inspect.signature(find(module, dotted)).parameters.values())
    if "." in dotted and real and real[0].name == "self":
        real = real[1:]
    by_name = {parameter.name: parameter for parameter in real}
    wanted = expected(module, rest.rstrip(")"))
    positional = [p for p in wanted if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert [p.name for p in real[: len(positional)]] == [p.name for p in positional]
    for parameter in wanted:
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            assert any(ours.kind is parameter.kind for ours in real)
            continue
        ours = by_name.pop(parameter.name)
        assert ours.kind is parameter.kind or parameter.kind is parameter.KEYWORD_ONLY
        if parameter.default is ...:
            assert ours.default is not ours.empty
        elif parameter.default is not parameter.empty:
            assert ours.default == parameter.default or ours.default is parameter.default
    for extra in by_name.values():
        assert extra.default is not extra.empty or extra.kind in (
            extra.VAR_KEYWORD,
            extra.VAR_POSITIONAL,
        ), f"programs do not give `{extra.name}`"


@pytest.mark.parametrize("module", OTHERS)
def test_the_other_names_are_there(module: str) -> None:
    for name in OTHERS[module]:
        find(module, name)


def test_trace_is_a_level() -> None:
    import logging

    assert find("logging_tools", "TRACE") == logging.TRACE == 5  # type: ignore[attr-defined]


def test_a_receiver_connects_in_both_shapes() -> None:
    signature = inspect.signature(find("broadcast", "Receiver").connect)
    for arguments, keywords in (
        (("::1", 1, None), {}),
        (("::1", 1, None), {"ssl_config": None}),
        ((), {"host": "::1", "port": 1, "ssl_config": None, "local_cert": None}),
    ):
        signature.bind(None, *arguments, **keywords)
