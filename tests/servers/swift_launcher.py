"""Runs the four servers of OpenStack Swift in one process: `python -I swift_launcher.py SETTINGS.json`.

It runs in the virtual environment of Swift, so it imports nothing of this project, and nothing of Swift before `main`:
the tests import it for its names. The ports come from the kernel; the file `READY` in the root folder appears, whole,
with the proxy's port when all servers listen. Its lifetime is its supervisor's concern.

Two things are replaced. Memcached by a dictionary: tempauth keeps its tokens there, and all servers are one process.
Syslog by standard error: what goes wrong stands in the log of this process, and nothing is sent to the machine's.
"""

from __future__ import annotations

import array
import configparser
import json
import logging
import logging.handlers
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, TextIO

READY = "ready.json"
BACKENDS = ("account", "container", "object")
DEVICE = "disk"
NODE_TIMEOUT_S = "60"
"""A slow machine must not make a listing stale: no updater would bring it up to date later."""
PIPELINE = (
    "catch_errors",
    "gatekeeper",
    "healthcheck",
    "listing_formats",
    "bulk",
    "tempurl",
    "tempauth",
    "copy",
    "slo",
    "dlo",
    "versioned_writes",
    "symlink",
)
MAX_URL_BYTES = 65_536
"""A key of 1,024 bytes, percent-encoded, in a query: well above, so that Swift answers and not its HTTP library."""


class Cache:
    """What Swift uses of its memcached client. Values pass through JSON there too."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._entries: dict[str, tuple[float, str]] = {}

    def get(self, key: str, *_: object, **__: object) -> Any:
        expires, text = self._entries.get(key, (0.0, "null"))
        if expires and expires <= self._clock():
            del self._entries[key]
            return None
        return json.loads(text)

    def set(self, key: str, value: object, serialize: bool = True, time: float = 0, **_: object) -> None:
        self._entries[key] = (self._clock() + time if time else 0.0, json.dumps(value))

    def delete(self, key: str, *_: object, **__: object) -> None:
        self._entries.pop(key, None)

    def incr(self, key: str, delta: int = 1, time: float = 0, **_: object) -> int:
        value = max(0, int(self.get(key) or 0) + delta)
        self.set(key, value, time=time)
        return value

    def decr(self, key: str, delta: int = 1, time: float = 0, **_: object) -> int:
        return self.incr(key, -delta, time)

    def get_multi(self, keys: list[str], *_: object, **__: object) -> list[Any]:
        return [self.get(key) for key in keys]

    def set_multi(self, mapping: Mapping[str, object], *_: object, time: float = 0, **__: object) -> None:
        for key, value in mapping.items():
            self.set(key, value, time=time)


class StandardError(logging.StreamHandler[TextIO]):
    """Made like a handler of syslog, which Swift has no switch for."""

    LOG_LOCAL0 = logging.handlers.SysLogHandler.LOG_LOCAL0
    priority_map: ClassVar = dict(logging.handlers.SysLogHandler.priority_map)

    def __init__(self, *_: object, **__: object) -> None:
        super().__init__(sys.stderr)


def write_ini(path: Path, sections: Mapping[str, Mapping[str, object]]) -> None:
    parser = configparser.RawConfigParser(delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # user names keep their case
    for section, options in sections.items():
        parser[section] = {name: str(value) for name, value in options.items()}
    with path.open("w", encoding="utf-8") as file:
        parser.write(file)


def common(root: Path, port: int) -> dict[str, object]:
    return {
        "swift_dir": root,
        "devices": root,
        "bind_ip": "127.0.0.1",
        "bind_port": port,
        "mount_check": "false",
        "disable_fallocate": "true",
        "fallocate_reserve": 0,
        "recon_cache_path": root,
        "log_level": "ERROR",
        "node_timeout": NODE_TIMEOUT_S,
        "conn_timeout": NODE_TIMEOUT_S,
        "container_update_timeout": NODE_TIMEOUT_S,
    }


def backend_sections(kind: str, root: Path, port: int) -> dict[str, dict[str, object]]:
    return {
        "DEFAULT": common(root, port),
        "pipeline:main": {"pipeline": f"{kind}-server"},
        f"app:{kind}-server": {"use": f"egg:swift#{kind}"},
    }


def proxy_sections(settings: Mapping[str, Any], root: Path, port: int) -> dict[str, dict[str, object]]:
    options: dict[str, dict[str, object]] = {
        "tempurl": {"allowed_digests": "sha256 sha512"},
        "tempauth": {
            "token_life": settings["token_life_s"],
            **{f"user_{settings['account']}_{name}": rights for name, rights in settings["users"].items()},
        },
        "slo": {"min_segment_size": 1},
        "versioned_writes": {"allow_versioned_writes": "true", "allow_object_versioning": "true"},
    }
    return {
        "DEFAULT": common(root, port),
        "pipeline:main": {"pipeline": " ".join((*PIPELINE, "proxy-server"))},
        "app:proxy-server": {
            "use": "egg:swift#proxy",
            "account_autocreate": "true",
            "recoverable_node_timeout": NODE_TIMEOUT_S,
            # There is one node of each kind: avoiding it for a while after an error (507 is enough) would leave none.
            "error_suppression_interval": 0,
        },
        **{f"filter:{name}": {"use": f"egg:swift#{name}", **options.get(name, {})} for name in PIPELINE},
    }


def write_configuration(settings: Mapping[str, Any], root: Path) -> None:
    """What every Swift module reads when it is imported."""
    sections: dict[str, Mapping[str, object]] = {
        "swift-hash": {"swift_hash_path_prefix": "stow", "swift_hash_path_suffix": "stow"},
        "storage-policy:0": {"name": "single", "default": "yes"},
        "swift-constraints": settings["constraints"],
    }
    write_ini(root / "swift.conf", sections)


def with_cache(app: Callable[..., Any], cache: Cache) -> Callable[..., Any]:
    def call(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        environ["swift.cache"] = cache
        return app(environ, start_response)

    return call


def main(settings_path: Path) -> None:
    settings = json.loads(settings_path.read_text(encoding="utf-8"))
    root = Path(settings["root"])
    (root / DEVICE).mkdir()
    write_configuration(settings, root)

    logging.handlers.SysLogHandler = StandardError  # type: ignore[misc,assignment]  # see above

    from swift.common import utils

    utils.monkey_patch()  # before anything else makes a lock or a socket
    utils.set_swift_dir(str(root))  # before anything else reads swift.conf

    import eventlet
    from eventlet import wsgi
    from swift.common import constraints
    from swift.common.ring import RingData
    from swift.common.utils.logs import NullLogger
    from swift.common.wsgi import SwiftHttpProtocol, loadapp

    constraints.reload_constraints()
    eventlet.hubs.use_hub(utils.get_hub())
    eventlet.debug.hub_exceptions(False)  # a client that hangs up is no traceback
    sockets = {kind: eventlet.listen(("127.0.0.1", 0), backlog=1024) for kind in (*BACKENDS, "proxy")}
    ports = {kind: listener.getsockname()[1] for kind, listener in sockets.items()}
    for kind in BACKENDS:
        write_ini(root / f"{kind}.conf", backend_sections(kind, root, ports[kind]))
        node = {"id": 0, "region": 1, "zone": 1, "weight": 1.0, "device": DEVICE, "meta": ""}
        node |= {"ip": "127.0.0.1", "port": ports[kind], "replication_ip": "127.0.0.1", "replication_port": ports[kind]}
        # Two partitions (a shift of 31 bits), one replica.
        RingData([array.array("H", [0, 0])], [node], 31).save(str(root / f"{kind}.ring.gz"))
    write_ini(root / "proxy.conf", proxy_sections(settings, root, ports["proxy"]))
    cache = Cache()
    for kind, listener in sockets.items():
        app = with_cache(loadapp(str(root / f"{kind}.conf"), global_conf={"log_name": kind}), cache)
        eventlet.spawn(
            wsgi.server,
            listener,
            app,
            NullLogger(),
            protocol=SwiftHttpProtocol,
            capitalize_response_headers=False,
            url_length_limit=MAX_URL_BYTES,
        )
    partial = root / f"{READY}.partial"
    partial.write_text(json.dumps({"port": ports["proxy"]}), encoding="utf-8")
    partial.rename(root / READY)
    eventlet.event.Event().wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
