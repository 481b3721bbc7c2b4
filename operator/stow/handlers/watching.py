"""The watches: kopf brings what changes into the memory, and does nothing else.

kopf runs in a thread with an event loop of its own, since it takes the signals of its loop's thread and cancels every task of its loop
when it ends; here it may end - a refused LIST ends it - and is started again, while everything else goes on. Only indexes and event
handlers are registered: indexes are all filled before the first event handler runs, which is how we know that the memory is complete.
No handler changes an object, so kopf writes no annotation, no finalizer and no Event.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from typing import Any, Final

import kopf

from stow.api.meta import GROUP, KINDS, VERSION
from stow.errors import ControlPlaneError
from stow.handlers.feed import Feed
from stow.kube.cache import NAMESPACE
from stow.kube.client import KubeConfig, load_configuration
from stow.reconcile.objects import ObjectRef, Snapshot

RESTART_PAUSES_S: Final = (1.0, 2.0, 5.0, 10.0)
"""Between an end of kopf and its next start; the last one stays."""
SETTLED_AFTER_S: Final = 60.0
"""A run that lasted longer begins the pauses anew."""
STOP_TIMEOUT_S: Final = 15.0
CLOSE_GRACE_S: Final = 0.25
LOGIN_PAUSE_S: Final = 2.0
TOKEN_LIFETIME: Final = timedelta(minutes=5)
"""A projected token is rotated long before it ends: it is read again this often."""

_log = logging.getLogger(__name__)


class Watcher:
    """Feeds ``feed``, in the loop that :meth:`run` is awaited in. ``namespaces``: empty for all."""

    def __init__(self, config: KubeConfig, feed: Feed, *, namespaces: tuple[str, ...] = ()) -> None:
        self._config = config
        self._feed = feed
        self._namespaces = namespaces
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._current: tuple[asyncio.AbstractEventLoop, asyncio.Task[None]] | None = None
        self._logged_in_at = -LOGIN_PAUSE_S
        self._completions: list[Callable[[], None]] = []

    def on_complete(self, listener: Callable[[], None]) -> None:
        """Called in the loop of :meth:`run` each time that the memory has become complete: at the start and after each restart."""
        self._completions.append(listener)

    async def run(self) -> None:
        """Until cancelled. Raises RuntimeError where the thread ends all the same: without watches nothing must go on."""
        logging.getLogger("kopf._core.reactor.running").addFilter(_about_no_signals)
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        thread = threading.Thread(target=self._main, args=(loop, ended), name="stow-watches", daemon=True)
        thread.start()
        try:
            await ended.wait()
            raise RuntimeError("the thread of the watches ended by itself")
        finally:
            self._stop()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await asyncio.shield(ended.wait())

    def _stop(self) -> None:
        self._stopping.set()
        with self._lock:
            if self._current is not None:
                loop, task = self._current
                with contextlib.suppress(RuntimeError):  # the loop has just ended by itself
                    loop.call_soon_threadsafe(task.cancel)

    # In the thread

    def _main(self, home: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
        pauses = self._pauses()
        try:
            while not self._stopping.is_set():
                begun = datetime.now(UTC)
                with contextlib.suppress(asyncio.CancelledError):
                    asyncio.run(self._attempt(home))
                if (datetime.now(UTC) - begun).total_seconds() > SETTLED_AFTER_S:
                    pauses = self._pauses()
                self._stopping.wait(next(pauses))
        finally:
            with contextlib.suppress(RuntimeError):  # the home loop is closed: nobody waits
                home.call_soon_threadsafe(ended.set)

    def _pauses(self) -> chain[float]:
        return chain(RESTART_PAUSES_S, repeat(RESTART_PAUSES_S[-1]))

    async def _attempt(self, home: asyncio.AbstractEventLoop) -> None:
        """One run of kopf. Its end is an error of the API server or of kopf; either way there is a next one."""
        task = asyncio.current_task()
        with self._lock:
            if self._stopping.is_set() or task is None:
                return
            self._current = (asyncio.get_running_loop(), task)
        try:
            await kopf.operator(
                registry=self._registry(home),
                settings=_settings(),
                standalone=True,
                clusterwide=not self._namespaces,
                namespaces=self._namespaces,
            )
        except Exception as error:  # noqa: BLE001 - the watches begin anew whatever ended them
            _log.warning("The watches ended and begin anew: %s", type(error).__name__)
        finally:
            with self._lock:
                self._current = None
            # TLS connections end some turns of the loop after their session was closed (aiohttp's "graceful shutdown").
            await asyncio.sleep(CLOSE_GRACE_S)

    def _registry(self, home: asyncio.AbstractEventLoop) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry, id="stow-login")(self._login)
        complete = _Once(lambda: home.call_soon_threadsafe(self._complete))
        for kind, selector in _SELECTORS.items():
            on_index, on_event = self._handlers(home, kind, complete)
            plural = selector[-1]
            kopf.index(*selector, registry=registry, id=f"stow-index-{plural}")(on_index)
            kopf.on.event(*selector, registry=registry, id=f"stow-event-{plural}")(on_event)
        return registry

    def _handlers(
        self, home: asyncio.AbstractEventLoop, kind: str, complete: _Once
    ) -> tuple[Callable[..., Any], Callable[..., Any]]:
        feed = self._feed

        async def index(body: Mapping[str, Any], **_: object) -> None:
            home.call_soon_threadsafe(feed.apply, Snapshot.from_raw(dict(body), kind=kind))

        async def event(event: Mapping[str, Any], **_: object) -> None:
            complete()
            raw = event["object"]
            if event["type"] == "DELETED":
                meta = raw["metadata"]
                home.call_soon_threadsafe(
                    feed.remove, ObjectRef(kind, meta.get("namespace"), meta["name"]), meta["uid"]
                )
            else:
                home.call_soon_threadsafe(feed.apply, Snapshot.from_raw(raw, kind=kind))

        return index, event

    def _complete(self) -> None:
        self._feed.complete()
        for listener in self._completions:
            listener()

    async def _login(self, **_: object) -> kopf.ConnectionInfo:
        """Never fails: kopf would wait for ever. Never at once after the last one: refused credentials would be tried in a busy loop."""
        told = False
        while True:
            since = time.monotonic() - self._logged_in_at
            await asyncio.sleep(max(0.0, LOGIN_PAUSE_S - since))
            self._logged_in_at = time.monotonic()
            try:
                configuration = await load_configuration(self._config)
                break
            except ControlPlaneError as error:
                if not told:
                    _log.warning("The watches cannot begin: %s", error.message)
                told = True
        header: str = await configuration.get_api_key_with_prefix("BearerToken") or ""
        token = header.rpartition(" ")[2]  # the client library keeps it with or without the scheme before it
        return kopf.ConnectionInfo(
            server=configuration.host,
            ca_path=configuration.ssl_ca_cert,
            insecure=not configuration.verify_ssl,
            scheme="Bearer" if token else None,
            token=token or None,
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
            expiration=datetime.now(UTC) + TOKEN_LIFETIME if token else None,
        )


class _Once:
    """Calls ``action`` at the first call only."""

    def __init__(self, action: Callable[[], object]) -> None:
        self._action = action
        self._done = False

    def __call__(self) -> None:
        if not self._done:
            self._done = True
            self._action()


def _about_no_signals(record: logging.LogRecord) -> bool:
    """kopf warns that it leaves the signals alone, which is why it runs where it does."""
    return "signals are ignored" not in record.getMessage()


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    # kopf takes its finalizer off whatever it does not need it on, so it must never be ours.
    settings.persistence.finalizer = f"{GROUP}/not-used"
    settings.process.ultimate_exiting_timeout = (
        None  # else it kills the process some minutes after a restart of the watches
    )
    settings.networking.connect_timeout = 10
    settings.networking.request_timeout = 60
    settings.networking.error_backoffs = (1, 1, 2, 3, 5, 8)
    settings.watching.connect_timeout = 10
    settings.watching.server_timeout = 240
    settings.watching.client_timeout = 300
    settings.watching.reconnect_backoff = 1.0
    settings.queueing.idle_timeout = 1.0
    settings.queueing.exit_timeout = 1.0
    return settings


_SELECTORS: Final[Mapping[str, tuple[str, ...]]] = {
    **{kind: (GROUP, VERSION, resource.plural) for kind, resource in KINDS.items()},
    NAMESPACE: ("v1", "namespaces"),
}
