"""What `doai completion` prints, and how it answers the shell that took it over (before step 1).

The scripts only hand over what is typed and show the answer; everything is decided in `doai.cli.completion`, so
that an upgrade needs no new script.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
from collections.abc import Sequence
from typing import Final

from doai.cli import exits
from doai.cli.completion import complete

ANSWER: Final = "_complete"
"""The command that the scripts call: a shell, then the words; in bash the line instead, and its word breaks."""
PATHS: Final = ":paths"
"""Last line of an answer: the path of a file may stand there, too."""

SCRIPTS: Final = {
    "bash": r"""# Completion of doai in bash. In ~/.bashrc: source <(doai completion bash)
_doai() {
  local line
  COMPREPLY=()
  while IFS= read -r line; do
    if [ "$line" = ":paths" ]; then
      compopt -o filenames 2>/dev/null
      while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$2")
    else
      COMPREPLY+=("$line")
    fi
  done < <("$1" _complete bash "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" 2>/dev/null)
  case ${COMPREPLY-} in *: | *=) compopt -o nospace 2>/dev/null ;; esac
}
complete -F _doai doai
""",
    "zsh": r"""#compdef doai
# Completion of doai in zsh. In ~/.zshrc, after compinit: source <(doai completion zsh)
_doai() {
  local -a lines
  local program=${(Q)~words[1]} typed="${(Q)PREFIX}"
  lines=("${(@f)$("$program" _complete zsh "${(@Q)words[2,CURRENT-1]}" "$typed" 2>/dev/null)}")
  if [[ $lines[-1] == ":paths" ]]; then
    lines[-1]=()
    _files
  fi
  lines=(${lines:#})
  (( $#lines )) && _describe doai lines
}
compdef _doai doai
""",
    "fish": r"""# Completion of doai in fish. Once: doai completion fish > ~/.config/fish/completions/doai.fish
function __doai_complete
    set -l words (commandline -opc)
    set -l typed (commandline -ct)
    for line in ($words[1] _complete fish $words[2..-1] -- "$typed" 2>/dev/null)
        if test "$line" = ":paths"
            __fish_complete_path "$typed"
        else
            printf '%s\n' $line
        end
    end
end
complete -c doai -f -a '(__doai_complete)'
""",
}


def print_script(shell: str) -> int:
    """`doai completion SHELL`."""
    print(SCRIPTS[shell], end="")
    return exits.PASSED


def answer(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> int:
    """Print what the last word may become, a line each; nothing rather than fail: nobody would see why."""
    from doai.cli.names import names_of

    shell, *words = arguments or ("",)
    if shell == "bash" and len(words) == 2:
        words, hidden = _split(*words)
    else:
        hidden = ""
    if shell == "fish" and "--" in words[-2:-1]:
        del words[-2]
    if not words:
        return exits.PASSED
    found = complete(parser, words, names_of)
    for each in found.candidates:
        word = each.word.removeprefix(hidden)
        meaning = " ".join(each.meaning.split())
        if shell == "zsh":
            word = word.replace("\\", "\\\\").replace(":", "\\:")
            print(f"{word}:{meaning}" if meaning else word)
        elif shell == "fish" and meaning:
            print(f"{word}\t{meaning}")
        else:
            print(word)
    if found.paths:
        print(PATHS)
    return exits.PASSED


def _split(line: str, breaks: str) -> tuple[list[str], str]:
    """Return the words of a line after the program, and the part of the last one that bash does not replace."""
    words: list[str] = []
    for ending in ("", "'", '"'):
        with contextlib.suppress(ValueError):
            words = shlex.split(line + ending)
            break
    if not words or line[-1:].isspace():
        words.append("")
    last = words[-1]
    # bash completes what follows the last of these signs, such as the colon of `node:host-1`.
    cut = max((last.rfind(sign) + 1 for sign in breaks if not sign.isspace()), default=0)
    return words[1:], last[:cut]
