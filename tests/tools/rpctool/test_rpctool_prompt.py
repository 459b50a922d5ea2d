"""The prompt: statements, help, completion of what is typed, and large values in short."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sipyco_rpc.pc_rpc import Client
from sipyco_tools._rpctool import shell
from sipyco_tools._rpctool.abridge import abridged_text
from sipyco_tools._rpctool.editing import candidates, history_path, set_up_readline
from sipyco_tools._rpctool.names import names_of
from support.peers import HOST, rpc_server


class Lda:
    """An attenuator.

    It has no display.
    """

    def take(self, count: int, factor: float = 1.0, *, unit: str = "dB") -> Any:
        """Take some.

        In steps.
        """
        return [factor * index for index in range(count)]

    def set_attenuation_and_wait_until_it_is_there(self, attenuation: float) -> None:
        """Set it."""

    def plain(self) -> None:
        pass


Prompt = Callable[..., str]


@pytest.fixture
def client() -> Any:
    with rpc_server({"lda": Lda()}) as port, Client(HOST, port) as client:
        yield client


@pytest.fixture
def prompt(
    client: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Prompt:
    """Type lines; give what is shown. Prompts are shown as well."""

    def run(*typed: str) -> str:
        lines = iter(typed)

        def read(text: str) -> str:
            print(text, end="")
            try:
                return next(lines)
            except StopIteration:
                raise EOFError from None

        monkeypatch.setattr(builtins, "input", read)
        shell.run(client, client.get_rpc_method_list())
        return capsys.readouterr().out

    return run


def test_values_are_kept_in_names(prompt: Prompt) -> None:
    assert prompt("x = take(3, 2)", "sum(x)", "_ + 1") == "(lda) (lda) 6\n(lda) 7\n(lda) \n"


def test_statements_are_those_of_python(prompt: Prompt) -> None:
    shown = prompt(
        "import math; math.floor(2.5)",
        "for i in range(2):",
        "    take(i)",
        "",
        "def twice(x):",
        "    return 2 * x",
        "",
        "(twice(3),",
        "7)",
        "  8",
    )
    assert shown == (
        "(lda) 2\n(lda) ... ... []\n[0.0]\n(lda) ... ... (lda) ... (6, 7)\n(lda) 8\n(lda) \n"
    )


def test_a_statement_that_is_not_finished_is_executed_at_the_end(prompt: Prompt) -> None:
    assert prompt("for i in range(2):", "    take(i)").endswith("... \n[]\n[0.0]\n")
    assert "SyntaxError: " in prompt("(1,")


def test_wrong_lines_are_said_and_the_prompt_goes_on(prompt: Prompt) -> None:
    shown = prompt("1 +", "x = ", "yy", "raise ValueError('mine')", "7")
    assert shown.count("SyntaxError: invalid syntax (<input>, line 1)\n") == 2
    assert "NameError: name 'yy' is not defined\n(lda) ValueError: mine\n(lda) 7\n" in shown


def test_a_line_with_a_null_or_too_many_digits_is_said(prompt: Prompt) -> None:
    shown = prompt("\0", "1" * 5000, "7")
    assert shown.endswith("(lda) 7\n(lda) \n")


def test_python_shows_values_as_before_when_the_prompt_is_over(prompt: Prompt) -> None:
    original = sys.displayhook
    prompt("1", "raise ValueError")
    assert sys.displayhook is original


def test_help_lists_the_methods(prompt: Prompt) -> None:
    shown = prompt("help", "help()")
    listing = (
        "`lda`: An attenuator.\n\n"
        "  plain() -> None\n"
        "  set_attenuation_and_wait_until_it_is_there(attenuation: float) -> None\n"
        "                                        Set it.\n"
        "  take(count: int, factor: float = 1.0, *, unit: str = 'dB') -> Any\n"
        "                                        Take some.\n"
    )
    assert shown.count(listing) == 2


def test_help_shows_all_of_a_method(prompt: Prompt) -> None:
    for line in ("help(take)", "help('take')"):
        shown = prompt(line)
        assert "take(count" in shown
        assert "In steps." in shown
    assert "str" in prompt("help(str)")


def test_a_method_named_help_is_that_method(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Desk:
        def help(self) -> str:
            return "on its way"

    lines = ["help()"]
    monkeypatch.setattr(builtins, "input", lambda text: lines.pop())
    with rpc_server({"desk": Desk()}) as port, Client(HOST, port) as client:
        with pytest.raises(IndexError):
            shell.run(client, client.get_rpc_method_list())
    assert capsys.readouterr().out == "'on its way'\n"


@pytest.fixture
def names(client: Client) -> dict[str, Any]:
    return names_of(client, client.get_rpc_method_list())


@pytest.mark.parametrize(
    ("before", "text", "found"),
    [
        ("", "ta", ["take"]),
        ("", "no", ["nonlocal", "not"]),
        ("", "whi", ["while"]),
        ("x = ", "enum", ["enumerate"]),
        ("take(", "coun", ["count="]),
        ("take(3, ", "unit", ["unit="]),
        ("take(max(1, 2), [3", "unit", []),
        ("take(max(1, 2), ", "fac", ["factor="]),
        ("print(", "unit", []),
        ("(take)(", "unit", []),
        ("", "hel", ["help"]),
        ("", "np", ["np"]),
        ("", "str.isdig", ["str.isdigit"]),
        ("", "no_such.x", []),
        ("", "str.no.x", []),
    ],
)
def test_names_words_and_arguments_are_completed(
    before: str, text: str, found: list[str], names: dict[str, Any]
) -> None:
    assert candidates(text, before, names) == found


def test_what_was_assigned_is_completed(names: dict[str, Any]) -> None:
    names["voltage"] = 5
    assert candidates("volt", "", names) == ["voltage"]
    assert "voltage.real" in candidates("voltage.", "", names)
    assert not [name for name in candidates("voltage.", "", names) if "._" in name]
    assert "voltage.__add__" in candidates("voltage._", "", names)


def test_numpy_is_completed(names: dict[str, Any]) -> None:
    pytest.importorskip("numpy")
    assert candidates("np.linspac", "", names) == ["np.linspace"]


def test_history_is_kept_among_the_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert history_path() == tmp_path / "sipyco" / "rpctool_history"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert history_path() == tmp_path / ".local" / "state" / "sipyco" / "rpctool_history"


def test_the_history_of_earlier_versions_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    readline = pytest.importorskip("readline")
    completer, delimiters = readline.get_completer(), readline.get_completer_delims()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    readline.clear_history()
    readline.add_history("take(3)")
    readline.write_history_file(tmp_path / ".sipyco_rpctool_history")
    readline.clear_history()
    try:
        set_up_readline({})
        assert readline.get_history_item(1) == "take(3)"
    finally:
        readline.clear_history()
        readline.set_completer(completer)
        readline.set_completer_delims(delimiters)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([1, {"b": (2,), "a": {3}}], "[1, {'a': {3}, 'b': (2,)}]"),
        ("x" * 2001, repr("x" * 2000) + " ... 1 more"),
        (bytes(3000), repr(bytes(2000)) + " ... 1000 more"),
        (range(10**9), "range(0, 1000000000)"),
    ],
)
def test_what_is_small_is_shown_whole_and_texts_are_cut(value: Any, text: str) -> None:
    assert abridged_text(value) == text


def test_what_has_many_items_is_cut() -> None:
    shown = abridged_text([[0] * 150, list(range(10**6)), "end"])
    assert len(shown) < 5000
    assert "... 999952 more]," in shown
    assert shown.endswith("... 1 more]")
    shown = abridged_text({key: key for key in "z" + "abcdefghijklmnopqrstuvwxy" * 1})
    assert shown.startswith("{'a': 'a'")
    shown = abridged_text(dict.fromkeys(range(1000), "x"))
    assert shown.endswith(",\n ...: 800 more}")
    assert "... 800 more" in abridged_text(set(range(1000)))


def test_a_list_within_itself_ends() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert "..." in abridged_text(endless)
