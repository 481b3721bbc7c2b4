"""The published archive: taken when it is what the index says, passed over in one line otherwise."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import io
import socket
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from dev.conftest import RecordedProgress
from stow.dev import versions
from stow.dev.cache import Cache, platform_name
from stow.dev.envtest import INDEX_URL, download_envtest, fetch_url
from stow.dev.failures import DevError
from stow.dev.processes import free_port

ARCHIVE_URL = "https://github.com/kubernetes-sigs/controller-tools/releases/download/x/archive.tar.gz"


def archive(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name.replace("__", "/"))
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def index(
    content: bytes, *, url: str = ARCHIVE_URL, sha512: str | None = None, version: str = versions.ENVTEST
) -> bytes:
    entry = {"selfLink": url, "hash": sha512 or hashlib.sha512(content).hexdigest()}
    return yaml.safe_dump({"releases": {version: {f"envtest-{version}-{platform_name()}.tar.gz": entry}}}).encode()


@pytest.fixture
def download(tmp_path: Path, progress: RecordedProgress) -> Callable[..., Path | None]:
    def run(answers: dict[str, bytes]) -> Path | None:
        def fetch(url: str, limit_bytes: int) -> bytes:
            if url not in answers:
                raise DevError("host cannot be reached")
            return answers[url]

        cache = Cache(tmp_path / "cache", progress=progress)
        with cache.lock():
            return download_envtest(cache, progress, fetch)

    return run


def test_the_programs_of_the_archive_are_cached_and_can_be_run(download: Callable[..., Path | None]) -> None:
    content = archive(
        **{
            "controller-tools__envtest__etcd": b"etcd",
            "controller-tools__envtest__kube-apiserver": b"api",
            "README": b"no",
        }
    )

    folder = download({INDEX_URL: index(content), ARCHIVE_URL: content})

    assert folder is not None
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"etcd": b"etcd", "kube-apiserver": b"api"}
    assert all(path.stat().st_mode & 0o111 for path in folder.iterdir())


def test_names_in_the_archive_cannot_leave_the_cache(download: Callable[..., Path | None], tmp_path: Path) -> None:
    content = archive(**{"..__..__etcd": b"x", "__tmp__kubectl": b"y"})

    folder = download({INDEX_URL: index(content), ARCHIVE_URL: content})

    assert folder is not None
    assert {path.name for path in folder.iterdir()} == {"etcd", "kubectl"}
    assert {path.name for path in tmp_path.iterdir()} == {"cache"}


GOOD = archive(etcd=b"etcd")


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({}, "host cannot be reached"),
        ({INDEX_URL: index(GOOD)}, "host cannot be reached"),
        ({INDEX_URL: b"<html>sign in</html>"}, "does not list"),
        ({INDEX_URL: b"\x00: ["}, "does not list"),
        ({INDEX_URL: index(GOOD, version="v1.0.0")}, "does not list"),
        ({INDEX_URL: index(GOOD, url="http://github.com/x")}, "no usable address"),
        ({INDEX_URL: index(GOOD, url="https://github.com.evil.example/x")}, "no usable address"),
        ({INDEX_URL: index(GOOD, url="file:///etc/passwd")}, "no usable address"),
        ({INDEX_URL: index(GOOD, sha512="0" * 128), ARCHIVE_URL: GOOD}, "SHA-512 is not the published one"),
        ({INDEX_URL: index(b"no archive"), ARCHIVE_URL: b"no archive"}, "cannot be unpacked"),
        ({INDEX_URL: index(GOOD[:40]), ARCHIVE_URL: GOOD[:40]}, "cannot be unpacked"),
    ],
)
def test_whatever_fails_is_said_in_one_line_and_leaves_nothing(
    download: Callable[..., Path | None],
    progress: RecordedProgress,
    tmp_path: Path,
    answers: dict[str, bytes],
    reason: str,
) -> None:
    assert download(answers) is None

    assert reason in progress.lines[-1]
    assert "building from Go modules instead" in progress.lines[-1]
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {"lock"}


def test_a_host_that_refuses_connections_is_no_more_than_a_reason() -> None:
    with pytest.raises(DevError, match="cannot be reached"):
        fetch_url(f"https://127.0.0.1:{free_port()}/", 10)


def test_a_host_that_says_nothing_is_given_up_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(DevError, match=r"127\.0\.0\.1 did not answer within 0\.2 s"):
            fetch_url(f"https://127.0.0.1:{port}/", 10, connect_timeout_s=0.2)


def test_a_body_of_more_than_the_limit_is_refused() -> None:
    with http_server(b"x" * 11) as url, pytest.raises(DevError, match="sent more than 10 bytes"):
        fetch_url(url, 10)


def test_a_body_within_the_limit_is_returned() -> None:
    with http_server(b"x" * 10) as url:
        assert fetch_url(url, 10) == b"x" * 10


@contextlib.contextmanager
def http_server(body: bytes) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()
