"""`silt completion`: the script that makes a shell complete commands and options.

Rule: it prints and changes nothing; where the script goes is the user's word. The script calls `silt` itself for each
completion, so it never goes out of date.
"""

import click

from ..options import Options, make_command

SHELLS = ("bash", "zsh", "fish")


@make_command(
    "completion",
    with_store=False,
    examples="""
    silt completion bash > /etc/bash_completion.d/silt
    silt completion zsh > ~/.zfunc/_silt           # ~/.zfunc must be in fpath
    silt completion fish > ~/.config/fish/completions/silt.fish
    """,
)
@click.argument("shell", type=click.Choice(SHELLS))
def command(_options: Options, shell: str) -> int:
    """Print the completion script for a shell."""
    from click.shell_completion import get_completion_class

    root = click.get_current_context().find_root().command
    kind = get_completion_class(shell)
    assert kind is not None
    print(kind(root, {}, "silt", "_SILT_COMPLETE").source())
    return 0
