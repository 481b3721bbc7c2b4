"""Exit codes of the client verbs, and how a failure reads on a terminal. Documented in ``docs/cli.md``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Coroutine
from enum import IntEnum
from functools import wraps
from typing import Any, ParamSpec

import click

P = ParamSpec("P")


class Exit(IntEnum):
    """What a script can tell apart."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4
    """Not authenticated, or not allowed."""
    PRECONDITION = 5
    UNAVAILABLE = 6
    """The gateway, the API server or the backend cannot be reached or is overloaded: trying again may help."""
    INTERRUPTED = 130


class CommandError(Exception):
    """A verb's failure: ``code`` is the stable code of the problem document, or ``client`` where no answer came."""

    def __init__(self, message: str, *, exit_code: Exit, code: str = "client") -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code
        self.code = code


def exit_of_status(status: int) -> Exit:
    """The exit code of an HTTP answer."""
    table = {401: Exit.REFUSED, 403: Exit.REFUSED, 404: Exit.NOT_FOUND, 412: Exit.PRECONDITION}
    if status in {408, 429} or status >= 500:
        return Exit.UNAVAILABLE
    return table.get(status, Exit.FAILED)


def reports_failures(command: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run the coroutine; print a CommandError to stderr (as JSON after ``--json``) and end with its code."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        import asyncio  # late: `stow --help` stays quick

        try:
            asyncio.run(command(*args, **kwargs))
        except CommandError as error:
            if kwargs.get("as_json"):
                click.echo(json.dumps({"code": error.code, "message": error.message}), err=True)
            else:
                click.echo(f"stow: {error.message}", err=True)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("stow: interrupted", err=True)
            sys.exit(Exit.INTERRUPTED)
        except BrokenPipeError:
            # The reader of our output went away (`stow cat x | head`): as `cat` does, end quietly.
            sys.stderr.close()
            sys.exit(Exit.FAILED)

    return run
