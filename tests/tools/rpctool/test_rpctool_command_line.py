"""The command line: where options may stand, and how a server is named."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sipyco_tools import sipyco_rpctool
from sipyco_tools._cli.arguments import split_address
from sipyco_tools._rpctool.command_line import first_positional
from support.peers import DEADLINE, HOST, rpc_server


def parsed(*words: str) -> dict[str, object]:
    return vars(sipyco_rpctool.get_argparser().parse_args(words))


@pytest.mark.parametrize(
    ("words", "server", "port"),
    [
        (("::1", "3253"), "::1", 3253),
        (("[::1]", "3253"), "::1", 3253),
        (("[::1]:3253",), "::1", 3253),
        (("fe80::1%eth0", "3253"), "fe80::1%eth0", 3253),
        (("[fe80::1%eth0]:3253",), "fe80::1%eth0", 3253),
        (("lab.example:3253",), "lab.example", 3253),
        (("--", "lab:3253"), "lab", 3253),
        (("--ssl", "a:1", "b:2", "c:3", "lab:3253"), "lab", 3253),
        (("--timeout=5", "-t", "a:1", "--max-l", "64M", "lab:3253"), "lab", 3253),
    ],
)
def test_a_server_is_named_as_people_name_it(
    words: tuple[str, ...], server: str, port: int
) -> None:
    for more in ((), ("list-targets",), ("call", "a:1", "b:2")):
        found = parsed(*words, *more)
        assert (found["server"], found["port"]) == (server, port)
    assert found["method"] == "a:1"
    assert found["args"] == ["b:2"]


def test_a_port_that_is_none_is_quoted(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (("[::1]:http",), ("lab:http",), ("lab:", "list-targets")):
        with pytest.raises(SystemExit) as raised:
            parsed(*words)
        assert raised.value.code == 2
        assert "argument PORT: a port is a whole number from 1" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        parsed("::1")
    assert "required: PORT" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("status", "::1", "3253"), "the server comes before the action: SERVER PORT status"),
        (("watch",), "the server comes before the action: SERVER PORT watch"),
        (("::1:3253", "status"), "expected [::1]:3253 or ::1 3253, got ::1:3253"),
        (("fe80::1:3253",), "expected [fe80::1]:3253 or fe80::1 3253, got fe80::1:3253"),
    ],
)
def test_words_in_another_order_are_explained(
    words: tuple[str, ...], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        parsed(*words)
    assert raised.value.code == 2
    assert capsys.readouterr().err.endswith(f"error: {text}\n")


def test_a_computer_may_be_called_as_an_action() -> None:
    assert parsed("status", "3253", "status")["server"] == "status"


def test_an_address_without_a_port_is_one_word() -> None:
    assert split_address("::1") == ["::1"]
    assert split_address("lab") == ["lab"]
    assert first_positional(["-v", "--ssl", "a"], {"--ssl": 3}) == 5


OPTIONS = ("--json", "-v", "--timeout", "5", "-t", "lda", "--max-line", "64K")
OPTIONS += ("--ssl", "cert", "key", "peer")


@pytest.mark.parametrize(
    "words",
    [
        (*OPTIONS, HOST, "3253", "call", "get"),
        (HOST, "3253", *OPTIONS, "call", "get"),
        (HOST, "3253", "call", *OPTIONS, "get"),
        (*OPTIONS[:4], f"{HOST}:3253", *OPTIONS[4:8], "call", *OPTIONS[8:], "get"),
        ("-t", "other", HOST, "3253", "call", *OPTIONS, "get"),
    ],
)
def test_options_may_stand_before_the_action_or_after_it(words: tuple[str, ...]) -> None:
    found = parsed(*words)
    assert found["json"] is found["verbose"] is True
    assert (found["timeout"], found["target"], found["max_line"]) == (5.0, "lda", 65536)
    assert found["ssl"] == ["cert", "key", "peer"]
    assert (found["method"], found["args"]) == ("get", [])


def test_without_options_they_have_their_defaults() -> None:
    for action in ((), ("list-targets",), ("call", "get"), ("status",), ("watch", "x")):
        found = parsed(HOST, "3253", *action)
        assert found["json"] is found["verbose"] is False
        assert found["timeout"] is found["target"] is found["ssl"] is found["max_line"] is None


def test_everything_after_the_method_is_an_argument() -> None:
    found = parsed(HOST, "3253", "call", "set", "--json", "-t", "-5", "--ssl", "--help")
    assert found["args"] == ["--json", "-t", "-5", "--ssl", "--help"]
    assert found["json"] is False
    assert found["target"] is None


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("65536", 65536),
        ("64K", 65536),
        ("1 MiB", 1 << 20),
        ("2g", 2 << 30),
        ("3B", 3),
        ("1.5M", 3 << 19),
    ],
)
def test_a_size_has_units(text: str, size: int) -> None:
    assert parsed("--max-line", text, HOST, "3253")["max_line"] == size


@pytest.mark.parametrize("text", ["0", "-1", "64X", "K", "", "1.M", "\u0663"])
def test_a_size_that_is_none_is_quoted(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed(f"--max-line={text}", HOST, "3253")
    assert f"such as 65536, 64K or 2G, got {text!r}" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("--version",), (HOST, "3253", "call", "--version")])
def test_the_versions_are_those_of_what_is_installed(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        parsed(*words)
    assert raised.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert "sipyco-tools 2.0.0" in lines
    assert lines[-1] == f"Python {sys.version.split()[0]} on {sys.platform}"


def test_a_reply_that_is_too_long_is_said_with_its_class() -> None:
    class Camera:
        def image(self) -> bytes:
            return bytes(100_000)

    program = [sys.executable, "-m", "sipyco_tools.sipyco_rpctool"]
    with rpc_server({"camera": Camera()}) as port:
        done = subprocess.run(
            [*program, f"{HOST}:{port}", "call", "--max-line", "64K", "image"],
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
    assert (done.stdout, done.returncode) == ("", 1)
    assert done.stderr.startswith("sipyco_rpctool: LineTooLong: ")
    assert done.stderr.endswith("the limit is 65536 bytes (see --max-line)\n")


def test_help_loads_no_action() -> None:
    program = (
        "import sys\n"
        "from sipyco_tools import sipyco_rpctool\n"
        "sipyco_rpctool.get_argparser().format_help()\n"
        "print(sorted(name for name in sys.modules if name in {'asyncio', 'rich', 'numpy', "
        "'sipyco_sync', 'readline', 'pydoc', 'importlib.metadata'}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=DEADLINE
    )
    assert done.stdout == "[]\n"
