"""`stow dev` in the foreground: start, say how to reach it, hold, and end in order on Ctrl-C or SIGTERM."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from types import FrameType

from stow.dev.cluster import DevCluster

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
HOLD_INTERVAL_S = 0.5


class StopRequestedError(BaseException):
    """Raised in the main thread by a stop signal. Not an `Exception`, so that nothing on the way takes it for a
    failure."""


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Let the first SIGINT, SIGTERM or SIGHUP unwind the block, then go on after it. Main thread only.

    Later signals are ignored while the block unwinds: each process has its deadline, so that ends soon, and cutting
    it would leave something behind.
    """

    def request(_number: int, _frame: FrameType | None) -> None:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        raise StopRequestedError

    before = {number: signal.signal(number, request) for number in STOP_SIGNALS}
    try:
        with contextlib.suppress(StopRequestedError):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def hold(cluster: DevCluster) -> None:
    """Block while everything runs; a stop signal ends it through `stopped_by_signals`.

    Raises:
        ProcessFailedError: a process ended by itself; the message ends with its log's tail.
    """
    while (ended := cluster.ended()) is None:
        time.sleep(HOLD_INTERVAL_S)
    raise ended.failure()
