"""The prompt and the values of the command line tool, without a process of its own."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable
from typing import Any

import pytest

from sipyco_tools import _rpctool_shell, sipyco_rpctool
from sipyco_tools._rpctool_values import Namespace, UsageError, json_text, parse_arguments
from support.peers import HOST, rpc_server


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
        _rpctool_shell.run(Lda(), dict.fromkeys(["nothing", "wait", "lose"]))  # type: ignore[arg-type]
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
    assert Namespace(a=1).evaluate("a + 1") == 2


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
