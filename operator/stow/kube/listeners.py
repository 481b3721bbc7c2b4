"""Who wants to hear of something. Called in the order of their coming; one that fails is logged and stops no other."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic, ParamSpec

from stow.errors import place_of

P = ParamSpec("P")
_log = logging.getLogger(__name__)


class Listeners(Generic[P]):
    """Belongs to one event loop. Listeners must not block."""

    def __init__(self, event: str) -> None:
        """``event`` names what they hear of, for the log."""
        self._event = event
        self._listeners: dict[object, Callable[P, None]] = {}

    def subscribe(self, listener: Callable[P, None]) -> Callable[[], None]:
        """Hear of it from now on; call the result to end it."""
        token = object()
        self._listeners[token] = listener

        def unsubscribe() -> None:
            self._listeners.pop(token, None)

        return unsubscribe

    def notify(self, *args: P.args, **kwargs: P.kwargs) -> None:
        for listener in tuple(self._listeners.values()):
            try:
                listener(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - whatever it is, the feed goes on for all others
                _log.error("A listener failed on %s: %s", self._event, place_of(error))
