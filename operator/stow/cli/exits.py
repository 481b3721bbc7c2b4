"""Exit codes of the client verbs, and how a failure reads on a terminal. Documented in ``docs/cli.md``.

A verb that fails prints one message and never a traceback. "Does not exist" is said only where the gateway said so of an object, a
container or a location: a 404 of anything else, or no answer, is another code, so that a script may trust it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Coroutine
from enum import IntEnum
from functools import wraps
from typing import Any, Final, ParamSpec

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
    TERMINATED = 143


_OF_STATUS: Final = {
    401: Exit.REFUSED,
    403: Exit.REFUSED,
    408: Exit.UNAVAILABLE,
    412: Exit.PRECONDITION,
    429: Exit.UNAVAILABLE,
}
_ABSENT: Final = frozenset({"object_not_found", "container_not_found", "location_not_found"})
_NOT_IMPLEMENTED: Final = 501


class CommandError(Exception):
    """A verb's failure: ``code`` is the stable code of the problem document, or ``client`` where no answer came."""

    def __init__(self, message: str, *, exit_code: Exit, code: str = "client") -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code
        self.code = code


def exit_of_answer(status: int, code: str) -> Exit:
    """The exit code of an HTTP answer: its status, and for a 404 what is missing."""
    if status == 404:
        return Exit.NOT_FOUND if code in _ABSENT else Exit.FAILED
    if status >= 500:
        return Exit.FAILED if status == _NOT_IMPLEMENTED else Exit.UNAVAILABLE
    return _OF_STATUS.get(status, Exit.FAILED)


def reports_failures(command: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run the coroutine; print a failure to stderr (as JSON after ``--json``) and end with its code.

    SIGINT and SIGTERM cancel it, so that connections are closed and temporary files removed before the process ends.
    """

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        import asyncio  # late: `stow --help` stays quick
        import signal

        terminated = False

        async def stoppable() -> None:
            task = asyncio.current_task()

            def stop() -> None:
                nonlocal terminated
                terminated = True
                if task is not None:
                    task.cancel()

            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
            await command(*args, **kwargs)

        try:
            asyncio.run(stoppable())
        except KeyboardInterrupt:
            click.echo("stow: interrupted", err=True)
            sys.exit(Exit.INTERRUPTED)
        except asyncio.CancelledError:
            if not terminated:
                raise
            sys.exit(Exit.TERMINATED)
        except BrokenPipeError:
            # The reader of our output went away (`stow cat x | head`): as `cat` does, end without a word. What Python still
            # holds for that pipe would make its exit complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.exit(Exit.FAILED)
        except Exception as error:  # noqa: BLE001  the last line: one message, never a traceback
            failure = failure_of(error)
            _print(failure, as_json=bool(kwargs.get("as_json")))
            sys.exit(failure.exit_code)

    return run


def failure_of(error: Exception) -> CommandError:
    """Any exception as a CommandError; one that nobody foresaw is named by its kind and place, never by its text."""
    if isinstance(error, CommandError):
        return error
    if isinstance(error, OSError):
        what = f"{error.filename}: " if isinstance(error.filename, str) else ""
        return CommandError(f"{what}{error.strerror or type(error).__name__}.", exit_code=Exit.FAILED)
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else f" at {os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"  # noqa: PTH119 - a name, not a path
    return CommandError(
        f"An error of the command itself: {type(error).__name__}{place}; please report it.", exit_code=Exit.FAILED
    )


def _print(failure: CommandError, *, as_json: bool) -> None:
    from stow.cli.text import visible

    if as_json:
        click.echo(json.dumps({"code": failure.code, "message": failure.message}), err=True)
    else:
        lines = [visible(line) for line in failure.message.splitlines()]
        click.echo("\n".join(["stow: " + (lines[0] if lines else ""), *lines[1:]]), err=True)
