"""The prompt and the values of the command line tool, without a process of its own."""

from __future__ import annotations

import builtins
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sipyco_tools import sipyco_rpctool
from sipyco_tools._rpctool import progress, shell
from sipyco_tools._rpctool.values import UsageError, evaluate, json_text, parse_arguments
from support.peers import DEADLINE, HOST, rpc_server


class Lda:
    """Stands for a client."""

    def get_selected_target(self) -> str:
        return "lda"

    def nothing(self) -> None:
        pass

    def wait(self) -> None:
        raise KeyboardInterrupt

    def lose(self) -> None:
        raise ConnectionResetError("the server has gone")

    def be_slow(self) -> None:
        raise TimeoutError("it took too long")

    def refuse(self) -> None:
        exc = PermissionError("not from there")
        exc.parent_traceback = ["in refuse\n"]  # type: ignore[attr-defined]
        raise exc

    def lose_in_the_midst(self) -> Iterator[int]:
        yield 1
        raise EOFError("the server has gone")


METHODS = ["nothing", "wait", "lose", "be_slow", "refuse", "lose_in_the_midst"]
Prompt = Callable[..., list[str]]


@pytest.fixture
def prompt(monkeypatch: pytest.MonkeyPatch) -> Prompt:
    """Run the prompt; what is typed is text, or an exception. Give the prompts."""

    def run(*typed: Any) -> list[str]:
        prompts: list[str] = []
        left = [*typed, EOFError()]

        def read(text: str) -> Any:
            prompts.append(text)
            line = left.pop(0)
            if isinstance(line, BaseException):
                raise line
            return line

        monkeypatch.setattr(builtins, "input", read)
        shell.run(Lda(), {"docstring": None, "methods": dict.fromkeys(METHODS)})  # type: ignore[arg-type]
        return prompts

    return run


def test_ctrl_c_ends_what_is_under_way_and_not_the_prompt(
    prompt: Prompt, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prompt(KeyboardInterrupt(), "wait()", "nothing()", "6 * 7") == ["(lda) "] * 5
    assert capsys.readouterr() == ("\n42\n\n", "interrupted\n")


def test_a_connection_that_is_lost_ends_the_prompt(prompt: Prompt) -> None:
    with pytest.raises(ConnectionResetError, match="the server has gone"):
        prompt("lose()", "6 * 7")


def test_a_connection_that_is_lost_between_two_items_ends_the_prompt(
    prompt: Prompt, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(EOFError, match="the server has gone"):
        prompt("lose_in_the_midst()", "6 * 7")
    assert capsys.readouterr() == ("1\n", "")
    with pytest.raises(EOFError, match="the server has gone"):
        prompt("list(lose_in_the_midst())", "6 * 7")


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("open('/nonexist')", "FileNotFoundError: [Errno 2] No such file or directory: "),
        ("(_ for _ in ()).throw(EOFError('of a file'))", "EOFError: of a file\n"),
        ("(_ for _ in ()).throw(ConnectionError('of my own'))", "ConnectionError: of my own\n"),
        ("be_slow()", "TimeoutError: it took too long\n"),
        ("refuse()", "Remote exception:\nPermissionError: not from there\nin refuse\n"),
    ],
)
def test_what_is_no_error_of_the_connection_is_shown_and_the_prompt_goes_on(
    line: str, shown: str, prompt: Prompt, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(prompt(line, "6 * 7")) == 3
    out, err = capsys.readouterr()
    assert out.startswith(shown)
    assert out.endswith("\n42\n\n")
    assert err == ""


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("list(np.int64(i) for i in range(2))", [0, 1]),
        ("(lambda x: np.sqrt(x))(4)", 2.0),
        ("[[np.abs(j) for j in (-i,)] for i in (1, 2)]", [[1], [2]]),
        ("sum(double(i) for i in range(3))", 6),
        ("(lambda: [double(i) for i in range(3)])()", [0, 2, 4]),
        ("(lambda np: np + 1)(1)", 2),
        ("(lambda: (lambda: double(np.int64(1)))())()", 2),
    ],
)
def test_functions_in_an_expression_find_the_names(expression: str, value: Any) -> None:
    pytest.importorskip("numpy")
    assert evaluate(expression, {"double": lambda x: 2 * x}) == value


def test_an_argument_with_functions_finds_numpy() -> None:
    numpy = pytest.importorskip("numpy")
    args, kwargs = parse_arguments(
        ["[np.int64(i) for i in range(3)]", "key=list(np.pi for _ in 'a')"]
    )
    assert args == [[0, 1, 2]]
    assert kwargs == {"key": [numpy.pi]}


def test_a_method_named_np_is_that_method() -> None:
    assert evaluate("[np() for _ in 'ab']", {"np": lambda: 5}) == [5, 5]


@pytest.mark.parametrize("text", ["0", "-1", "65536", "68836", "3e3", "", "http", "\u0663.5"])
def test_a_port_that_there_is_not_is_a_wrong_command_line(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        sipyco_rpctool.get_argparser().parse_args(["--", HOST, text, "list-targets"])
    assert raised.value.code == 2
    assert f"a port is a whole number from 1 to 65535, got {text!r}" in capsys.readouterr().err


def test_ports_that_there_are_are_taken() -> None:
    for port in (1, 3253, 65535):
        assert sipyco_rpctool.get_argparser().parse_args([HOST, str(port)]).port == port


def test_a_home_that_cannot_be_used_keeps_no_history_and_says_nothing(
    prompt: Prompt, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    readline = pytest.importorskip("readline")
    completer, delimiters = readline.get_completer(), readline.get_completer_delims()
    monkeypatch.setenv("HOME", "/dev/null")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    try:
        assert prompt("6 * 7") == ["(lda) "] * 2
        assert readline.get_completer()("no", 0) == "nothing"
    finally:
        readline.set_completer(completer)
        readline.set_completer_delims(delimiters)
    assert capsys.readouterr() == ("42\n\n", "")


def test_a_system_without_readline_has_a_prompt(
    prompt: Prompt, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "readline", None)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    assert prompt("6 * 7") == ["(lda) "] * 2
    assert capsys.readouterr() == ("42\n\n", "")


def test_without_numpy_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    assert parse_arguments(["1", "a=2"]) == ([1], {"a": 2})
    with pytest.raises(UsageError) as raised:
        parse_arguments(["np.pi"])
    assert str(raised.value) == (
        "`np` needs NumPy; install it with: pip install 'sipyco-tools[numpy]'"
    )


def test_a_value_that_is_no_document_is_written_as_it_shows() -> None:
    assert json_text({"result": [range(3), 1]}) == '{"result":["range(0, 3)",1]}'
    assert evaluate("a + 1", {"a": 1}) == 2


def test_a_server_that_says_little_is_listed_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Bare:
        def f(self):  # type: ignore[no-untyped-def]
            pass

    with rpc_server({"bare": Bare()}) as port:
        for action, expected in (
            ("list-targets", "Target(s):   bare\n"),
            ("list-methods", "f(self)\n\n"),
        ):
            monkeypatch.setattr(sys, "argv", ["sipyco_rpctool", HOST, str(port), action])
            sipyco_rpctool.main()
            assert capsys.readouterr() == (expected, "")
    monkeypatch.setattr(sys, "argv", ["sipyco_rpctool", "-v", HOST, str(port), "list-targets"])
    with pytest.raises(SystemExit) as raised:
        sipyco_rpctool.main()
    assert raised.value.code == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Traceback (most recent call last):\n")
    assert f"sipyco_rpctool: connection error: {HOST} port {port}: " in err.splitlines()[-1]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_person_who_waits_is_told(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    told = threading.Event()
    texts: list[str] = []

    def show(text: str) -> None:
        texts.append(text)
        told.set()

    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    monkeypatch.setattr(progress, "show_error", show)
    with progress.waited_for("::1 port 3253"):
        assert told.wait(DEADLINE if terminal else 0.0) is terminal
    if terminal:
        [text] = texts
        assert text.startswith("waiting for ::1 port 3253 to answer; it may be busy with a method")


def test_a_name_that_is_mistyped_at_the_prompt_is_guessed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shell._execute("get_voltge()", {"get_voltage": lambda: 1.0})
    told = "NameError: name 'get_voltge' is not defined; did you mean `get_voltage`?\n"
    assert capsys.readouterr().out == told
