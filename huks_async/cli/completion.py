"""`huks completion`: the command's words for a shell."""

from typing import Literal

from huks_async.cli.shell.console import show


def completion(shell: Literal["bash", "zsh", "fish"], /) -> None:
    """Write a script that completes the words of huks, e.g. for: source <(huks completion bash)."""
    # late: the tree of commands names this one
    from huks_async.cli.app import build_app

    show(build_app().generate_completion(prog_name="huks", shell=shell))
