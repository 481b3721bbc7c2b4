"""Downloads the published envtest archive of kube-apiserver and etcd.

The archive's address and SHA-512 come from the index that controller-tools publishes; an archive with another sum is
refused. It is a short cut and never a need: whatever fails here - no network, a proxy's page, a wrong sum - is said
in one line, and the programs are built instead. kube-controller-manager is in no envtest archive.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import queue
import tarfile
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import yaml

from stow.dev import versions
from stow.dev.cache import Cache, platform_name
from stow.dev.failures import DevError
from stow.dev.progress import Progress

INDEX_URL = "https://raw.githubusercontent.com/kubernetes-sigs/controller-tools/HEAD/envtest-releases.yaml"
ARCHIVE_HOST = "github.com"
CONNECT_TIMEOUT_S = 5.0
"""For name resolution, connection and first byte together: a closed network must not hold a build up."""
READ_TIMEOUT_S = 30.0
MAX_INDEX_BYTES = 4 * 1024 * 1024
MAX_ARCHIVE_BYTES = 512 * 1024 * 1024
PROGRAMS = ("kube-apiserver", "etcd", "kubectl")

Fetch = Callable[[str, int], bytes]
"""Gets a URL's body of at most so many bytes. Raises DevError, and nothing else, when it cannot."""


def download_envtest(cache: Cache, progress: Progress, fetch: Fetch | None = None) -> Path | None:
    """The cached folder with the archive's programs; `None`, after one line of why, where it cannot be had. Hold the
    cache's lock."""
    fetch = fetch or fetch_url
    try:
        url, sha512 = _find_archive(fetch(INDEX_URL, MAX_INDEX_BYTES))
        with progress.step(f"downloading kube-apiserver and etcd (envtest {versions.ENVTEST})"):
            archive = fetch(url, MAX_ARCHIVE_BYTES)
        if hashlib.sha512(archive).hexdigest() != sha512:
            raise DevError("the archive's SHA-512 is not the published one")
        return cache.fill("envtest", versions.ENVTEST, lambda folder: _unpack(archive, folder))
    except DevError as error:
        progress.say(f"no envtest archive ({error}): building from Go modules instead")
        return None


def _find_archive(index: bytes) -> tuple[str, str]:
    name = f"envtest-{versions.ENVTEST}-{platform_name()}.tar.gz"
    try:
        entry = yaml.safe_load(index)["releases"][versions.ENVTEST][name]
        url, sha512 = entry["selfLink"], entry["hash"]
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise DevError(f"the index does not list {name}") from error
    if not isinstance(url, str) or not isinstance(sha512, str) or urlsplit(url)[:2] != ("https", ARCHIVE_HOST):
        raise DevError(f"the index names no usable address for {name}")
    return url, sha512.lower()


def _unpack(archive: bytes, folder: Path) -> None:
    """Take the known programs out by their last name; paths, links and everything else in the archive are ignored."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
            for member in tar:
                name = Path(member.name).name
                if member.isfile() and name in PROGRAMS:
                    content = tar.extractfile(member)
                    if content is not None:
                        _write_program(folder / name, content)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DevError("the archive cannot be unpacked") from error


def _write_program(path: Path, content: IO[bytes]) -> None:
    path.write_bytes(content.read())
    path.chmod(0o755)


def fetch_url(url: str, limit_bytes: int, *, connect_timeout_s: float = CONNECT_TIMEOUT_S) -> bytes:
    """See `Fetch`. Works in a daemon thread, because nothing can cut a name resolution that hangs."""
    answers: queue.Queue[bytes | DevError | None] = queue.Queue()
    threading.Thread(target=_fetch_into, args=(url, limit_bytes, answers), daemon=True).start()
    try:
        first = answers.get(timeout=connect_timeout_s)
    except queue.Empty:
        raise DevError(f"{urlsplit(url).hostname} did not answer within {connect_timeout_s:g} s") from None
    outcome = answers.get() if first is None else first  # None: it is connected; each read has its own deadline
    if isinstance(outcome, bytes):
        return outcome
    raise outcome or DevError("no answer")


def _fetch_into(url: str, limit_bytes: int, answers: queue.Queue[Any]) -> None:
    host = urlsplit(url).hostname
    try:
        with urllib.request.urlopen(url, timeout=READ_TIMEOUT_S) as response:  # noqa: S310 - https only, see the callers
            answers.put(None)
            body = response.read(limit_bytes + 1)
    except (OSError, http.client.HTTPException) as error:
        answers.put(DevError(f"{host} cannot be reached ({type(error).__name__})"))
    else:
        answers.put(body if len(body) <= limit_bytes else DevError(f"{host} sent more than {limit_bytes} bytes"))
