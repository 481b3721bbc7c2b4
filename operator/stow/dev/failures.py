"""What goes wrong while servers are found, built, started or stopped.

These never reach StowStore or a reconciler, so they stand beside the error tree of the product and not in it::

    DevError
    ├── ToolUnavailableError    no step of the look-up supplies a program; the message names the ways out
    ├── ProcessFailedError      a child process ended or did not become ready; the message ends with its log's tail
    └── CommandFailedError      a command that had to end with 0 did not; the message ends with its output's tail
"""

from __future__ import annotations


class DevError(Exception):
    """Base of all. Its text is for the person at the terminal: what is wrong, where, what to do."""


class ToolUnavailableError(DevError):
    pass


class ProcessFailedError(DevError):
    pass


class CommandFailedError(DevError):
    pass
