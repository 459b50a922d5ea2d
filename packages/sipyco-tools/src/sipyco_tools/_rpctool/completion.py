"""Completion of `sipyco_rpctool` by the tab key of a shell.

The shell asks this program what a word may become: so what it offers is what the parser knows, and
what a live server has.
"""

from __future__ import annotations

import argparse
import contextlib
import glob
import io
import os
from collections.abc import Callable, Sequence
from typing import Any, Final

from sipyco_rpc.pc_rpc import AutoTarget, Client, SimpleSSLConfig
from sipyco_tools._cli.arguments import split_address
from sipyco_tools._cli.output import show
from sipyco_tools._rpctool.command_line import CommandLineParser, first_positional

_TIMEOUT: Final = 1.0  # seconds for a server to answer, while a person waits for the tab key
_WORDS: Final = "words"  # what scripts ask for: the words so far, of which the last is completed

_SCRIPTS: Final = {
    "bash": r"""# Completion of sipyco_rpctool. In ~/.bashrc:
# eval "$(sipyco_rpctool completion bash)"
_sipyco_rpctool() {
    local line="${COMP_LINE:0:COMP_POINT}" words IFS=$' \t\n'
    read -ra words <<<"$line"
    case "$line" in *[[:space:]]) words+=("") ;; esac
    IFS=$'\n'
    COMPREPLY=($("$1" completion words "${words[@]:1}" 2>/dev/null))
    case "${COMPREPLY[0]}" in *[=/]) compopt -o nospace 2>/dev/null ;; esac
}
complete -o default -F _sipyco_rpctool sipyco_rpctool
""",
    "zsh": r"""#compdef sipyco_rpctool
# Completion of sipyco_rpctool. In ~/.zshrc, after compinit:
# eval "$(sipyco_rpctool completion zsh)"
_sipyco_rpctool() {
    local -a found
    found=("${(@f)$(${words[1]} completion words "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    compadd -- ${found:#*[=/]}
    compadd -S '' -- ${(M)found:#*[=/]}
}
compdef _sipyco_rpctool sipyco_rpctool
""",
    "fish": r"""# Completion of sipyco_rpctool. Once:
# sipyco_rpctool completion fish > ~/.config/fish/completions/sipyco_rpctool.fish
function __sipyco_rpctool
    set -l words (commandline -opc) (commandline -ct)
    $words[1] completion words $words[2..-1] 2>/dev/null
end
complete -c sipyco_rpctool -f -a '(__sipyco_rpctool)'
""",
}


def is_asked_for(words: Sequence[str]) -> bool:
    """Tell whether the words after `completion` ask for it, and are not a port of such a host."""
    return words[:1] == [_WORDS] or (len(words) == 1 and words[0] in _SCRIPTS)


def run(get_parser: Callable[[], CommandLineParser], words: Sequence[str]) -> None:
    """Print the script for a shell; or what the last of some words may become, one a line."""
    if words[0] in _SCRIPTS:
        show(_SCRIPTS[words[0]], end="")
        return
    for candidate in candidates(get_parser(), list(words[1:])):
        show(candidate)


def candidates(parser: CommandLineParser, words: list[str]) -> list[str]:
    """Give what the last word may become.

    Args:
        parser: of the command.
        words: what has been typed after the name of the command.
    """
    *done, current = words or [""]
    try:
        found = _candidates(parser, done, current)
    except Exception:  # noqa: BLE001  (no server, a wrong command line: there is nothing to offer)
        return []
    return [candidate for candidate in found if candidate.startswith(current)]


def _candidates(parser: CommandLineParser, done: list[str], current: str) -> list[str]:
    values = parser.values
    server = first_positional(done, values)
    port = server if _has_port(done, server) else first_positional(done, values, server + 1)
    action = first_positional(done, values, port + 1)
    if action >= len(done):
        for place in (server, port, action):
            if place > len(done):
                return _option_values(parser, done, current)
            if place == len(done):
                break
        options = sorted(name for name in values if name.startswith("--"))
        if current.startswith("-"):
            return options
        return list(parser.actions) if place == action else []
    chosen = parser.actions[done[action]]
    first = first_positional(done, chosen.values, action + 1)
    if first > len(done):
        return _option_values(parser, done, current)
    if first == len(done) and current.startswith("-"):
        return sorted(name for name in chosen.values if name.startswith("--"))
    return _names(parser, done, done[action], done[first:])


def _has_port(done: Sequence[str], server: int) -> bool:
    return server < len(done) and len(split_address(done[server])) == 2


def _option_values(parser: CommandLineParser, done: list[str], current: str) -> list[str]:
    """Give what may be the value of the option that was typed last."""
    option = next(word for word in reversed(done) if word.startswith("-"))
    if option == "--ssl":
        paths = glob.glob(f"{glob.escape(current)}*")
        return sorted(path + "/" if os.path.isdir(path) else path for path in paths)
    if option in ("-t", "--target"):
        with _client(parser, done[:-1], None) as client:
            return list(client.get_rpc_id()[0])
    return []


def _names(
    parser: CommandLineParser, done: list[str], action: str, typed: Sequence[str]
) -> list[str]:
    """Give the names of a live server that may come after an action and what was typed of it."""
    if action not in ("bench", "call", "get", "set"):
        return []
    with _client(parser, done[: len(done) - len(typed)], AutoTarget) as client:
        listing = client.get_rpc_method_list()
    if action in ("get", "set"):
        return [name + ("=" if action == "set" else "") for name in listing.get("properties", ())]
    methods = listing["methods"]
    if not typed:
        return sorted(methods)
    argspec = methods[typed[0]][0]
    return [f"{name}=" for name in (*argspec["args"][1:], *argspec["kwonlyargs"])]


def _client(parser: CommandLineParser, done: list[str], target: Any) -> Client:
    """Connect to the server of a command line that is not complete."""
    args = _parsed(parser, done) or _parsed(parser, [*done, "METHOD"])
    if args is None:
        raise ValueError("the command line is wrong")
    config = SimpleSSLConfig(*args.ssl) if args.ssl else None
    if target is not None and args.target is not None:
        target = args.target
    return Client(args.server, args.port, target, _TIMEOUT, config)


def _parsed(parser: CommandLineParser, words: list[str]) -> argparse.Namespace | None:
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            return parser.parse_args(words)
    except SystemExit:
        return None
