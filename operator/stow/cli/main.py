"""The command ``stow``: server commands and client verbs. Nothing is imported before the command that needs it runs, but click."""

from __future__ import annotations

import click

from stow import __version__
from stow.cli.objects import VERBS
from stow.cli.servers import dev, gateway, operator


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "STOW", "max_content_width": 100}
)
@click.version_option(__version__, prog_name="stow")
def main() -> None:
    """Object storage for Kubernetes: containers by kubectl, objects by HTTP."""


for _command in (*VERBS, operator, gateway, dev):
    main.add_command(_command)

if __name__ == "__main__":
    main()
