"""`sim completion SHELL`: print the completion script of a shell."""

from __future__ import annotations

import click

from simulator.errors import SimError
from simulator.printing import say


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL; its last line says how to install it."""
    from click.shell_completion import get_completion_class

    from simulator.cli import sim

    kind = get_completion_class(shell)
    if kind is None:
        raise SimError(f"click knows no completion for {shell}")
    say(kind(sim, {}, "sim", "_SIM_COMPLETE").source().rstrip())
    say(f"# To install: {INSTALL_COMPLETION[shell]}")


INSTALL_COMPLETION = {
    "bash": 'add `eval "$(sim completion bash)"` to ~/.bashrc',
    "zsh": 'add `eval "$(sim completion zsh)"` to ~/.zshrc, after compinit',
    "fish": "sim completion fish > ~/.config/fish/completions/sim.fish",
}
