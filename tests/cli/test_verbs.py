"""Each verb against a real gateway: what it prints for people and for programs, and what the backend holds afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import urllib.request
from pathlib import Path

import pytest

from cli.command import Stow, plant
from gateway.world import World
from stow.storage.config import StoreConfig

ODD_KEYS = (
    "a//b",
    "/lead",
    "trail/",
    "x/../y",
    ".",
    "a b",
    "a+b",
    "%2e%2F",
    "tür/日本",
    "q?x=1#y&z",
    "e\u0301",
    "é",
    "[red]b[/red]",
    "-dash",
)


async def test_ls_shows_prefixes_like_folders_and_objects_with_size_and_time(world: World, cli: Stow) -> None:
    await plant(world, "2026/a.csv", b"12345")
    await plant(world, "2026/deep/b.csv")
    await plant(world, "top.txt", b"x" * 1536)

    top = await cli.run("ls", "reports")
    below = await cli.run("ls", "reports/2026/")

    assert [line.split() for line in top.text.splitlines()] == [
        ["2026/"],
        ["1.5", "KiB", "2026-01-02T03:04:05Z", "top.txt"],
    ]
    assert [line.split()[-1] for line in below.text.splitlines()] == ["2026/a.csv", "2026/deep/"]
    assert (top.code, top.error) == (0, "")


async def test_ls_follows_pages_and_stops_at_a_limit(world: World, cli: Stow) -> None:
    keys = [f"k{number:05}" for number in range(1100)]
    for key in keys:
        await plant(world, key, b"")

    everything = await cli.run("ls", "-r", "reports")
    limited = await cli.run("ls", "reports", "--limit", "1050", "--json")

    assert [line.split()[-1] for line in everything.text.splitlines()] == keys
    assert [each["key"] for each in limited.json["objects"]] == keys[:1050]
    assert limited.json["truncated"] is True


async def test_ls_says_on_stderr_that_it_stopped_at_the_limit(world: World, cli: Stow) -> None:
    await plant(world, "a")
    await plant(world, "b")

    done = await cli.run("ls", "reports", "--limit", "1")

    assert [line.split()[-1] for line in done.text.splitlines()] == ["a"]
    assert "there are more" in done.error


async def test_ls_as_json_is_one_document(world: World, cli: Stow) -> None:
    await plant(world, "dir/b")
    await plant(world, "tür", b"123")

    document = (await cli.run("ls", "reports", "--json")).json

    (listed,) = document.pop("objects")
    assert document == {"prefixes": ["dir/"], "truncated": False}
    assert listed.keys() == {"key", "size", "etag", "lastModified"}
    assert (listed["key"], listed["size"], listed["lastModified"]) == ("tür", 3, "2026-01-02T03:04:05+00:00")


async def test_an_empty_listing_prints_nothing_and_is_success(cli: Stow) -> None:
    done = await cli.run("ls", "reports/none/")

    assert (done.code, done.output, done.error) == (0, b"", "")


async def test_put_and_cat_keep_every_key_as_it_was_typed(world: World, cli: Stow, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"the bytes")

    for key in ODD_KEYS:
        assert (await cli.run("put", str(tmp_path / "file"), f"reports/{key}")).code == 0
    listed = await cli.run("ls", "-r", "reports", "--json")
    removed = await cli.run("rm", *(f"reports/{key}" for key in ODD_KEYS[:-1]))
    read = await cli.run("cat", f"reports/{ODD_KEYS[-1]}")

    assert {each["key"] for each in listed.json["objects"]} == set(ODD_KEYS)
    assert removed.code == 0
    assert set(world.backend.containers["reports-bucket"].objects) == {ODD_KEYS[-1]}
    assert read.output == b"the bytes"


async def test_put_sends_type_checksum_and_metadata_and_stat_shows_them(
    world: World, cli: Stow, tmp_path: Path
) -> None:
    (tmp_path / "report.csv").write_bytes(b"a;b\n")

    put = await cli.run(
        "put", str(tmp_path / "report.csv"), "reports/r.csv", "--meta", "Author=Zoë 50%", "--meta", "empty=", "--json"
    )
    stat = await cli.run("stat", "reports/r.csv", "--json")
    shown = await cli.run("stat", "reports/r.csv")

    assert put.json == {"container": "reports", "key": "r.csv", "etag": stat.json["etag"]}
    assert stat.json == {
        "container": "reports",
        "key": "r.csv",
        "size": 4,
        "etag": put.json["etag"],
        "lastModified": "2026-01-02T03:04:05+00:00",
        "contentType": "text/csv",
        "contentEncoding": None,
        "contentLanguage": None,
        "contentDisposition": None,
        "cacheControl": None,
        "checksums": stat.json["checksums"],
        "metadata": {"author": "Zoë 50%", "empty": ""},
    }
    assert stat.json["checksums"].keys() == {"md5", "crc32c"}
    assert "metadata.author:" in shown.text
    assert "Zoë 50%" in shown.text


async def test_a_compressed_file_does_not_come_back_as_what_is_inside(world: World, cli: Stow, tmp_path: Path) -> None:
    (tmp_path / "report.csv.gz").write_bytes(b"\x1f\x8b")

    await cli.run("put", str(tmp_path / "report.csv.gz"), "reports/r")

    stored = world.backend.containers["reports-bucket"].objects["r"].metadata.attributes
    assert (stored.content_type, stored.content_encoding) == ("application/octet-stream", None)


async def test_put_reads_standard_input_to_its_end(world: World, cli: Stow) -> None:
    data = os.urandom(700_000)

    done = await cli.run("put", "-", "reports/in", stdin=data)

    assert (done.code, world.bytes_of("in")) == (0, data)
    assert done.text.startswith("reports/in written, etag ")


async def test_put_of_a_named_pipe_sends_what_comes_out_of_it(world: World, cli: Stow, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = asyncio.create_task(asyncio.to_thread((tmp_path / "pipe").write_bytes, b"through the pipe"))

    done = await cli.run("put", str(tmp_path / "pipe"), "reports/in")
    await writer

    assert (done.code, world.bytes_of("in")) == (0, b"through the pipe")


async def test_put_of_nothing_stores_an_empty_object(world: World, cli: Stow, tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")

    assert (await cli.run("put", str(tmp_path / "empty"), "reports/file")).code == 0
    assert (await cli.run("put", "-", "reports/in")).code == 0

    assert (world.bytes_of("file"), world.bytes_of("in")) == (b"", b"")


async def test_create_only_and_if_match_decide_what_is_replaced(world: World, cli: Stow) -> None:
    first = await cli.run("put", "-", "reports/k", "--create-only", "--json", stdin=b"one")
    again = await cli.run("put", "-", "reports/k", "--create-only", stdin=b"two")
    other = await cli.run("put", "-", "reports/k", "--if-match", "0" * 32, stdin=b"three")
    absent = await cli.run("put", "-", "reports/none", "--if-match", "*", stdin=b"four")
    right = await cli.run("put", "-", "reports/k", "--if-match", f'"{first.json["etag"]}"', stdin=b"five")

    assert [each.code for each in (first, again, other, absent, right)] == [0, 5, 5, 5, 0]
    assert world.bytes_of("k") == b"five"
    assert world.bytes_of("none") is None


async def test_cat_writes_the_bytes_and_nothing_else(world: World, cli: Stow, tmp_path: Path) -> None:
    data = os.urandom(1_000_000)
    await plant(world, "k", data)

    shown = await cli.run("cat", "reports/k", "-o", "-")
    saved = await cli.run("cat", "reports/k", "-o", str(tmp_path / "out"))
    reported = await cli.run("cat", "reports/k", "-o", str(tmp_path / "out"), "--range", "10-19", "--json")

    assert (shown.output, shown.error) == (data, "")
    assert (saved.output, saved.error) == (b"", "")
    assert reported.json == {"container": "reports", "key": "k", "file": str(tmp_path / "out"), "size": 10}
    assert (tmp_path / "out").read_bytes() == data[10:20]
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o666 & ~_umask()


@pytest.mark.parametrize(("wanted", "expected"), [("2-4", b"234"), ("7-", b"789"), ("-2", b"89"), ("8-99", b"89")])
async def test_cat_reads_a_range(world: World, cli: Stow, wanted: str, expected: bytes) -> None:
    await plant(world, "k", b"0123456789")

    assert (await cli.run("cat", "reports/k", f"--range={wanted}")).output == expected


async def test_cat_into_what_is_no_regular_file_writes_into_it(world: World, cli: Stow, tmp_path: Path) -> None:
    await plant(world, "k", b"data")
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "target").chmod(0o640)
    (tmp_path / "link").symlink_to("target")

    null = await cli.run("cat", "reports/k", "-o", "/dev/null")
    through_link = await cli.run("cat", "reports/k", "-o", str(tmp_path / "link"))

    assert (null.code, through_link.code) == (0, 0)
    assert Path("/dev/null").is_char_device()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"data"
    assert (tmp_path / "target").stat().st_mode & 0o777 == 0o640


async def test_rm_deletes_several_and_absent_ones_too(world: World, cli: Stow) -> None:
    await plant(world, "a")
    await plant(world, "b")

    shown = await cli.run("rm", "reports/a", "reports/none")
    reported = await cli.run("rm", "reports/b", "--json")

    assert shown.text == "reports/a deleted\nreports/none deleted\n"
    assert reported.json == {"deleted": [{"container": "reports", "key": "b"}]}
    assert world.backend.containers["reports-bucket"].objects == {}


async def test_rm_with_if_match_spares_another_version(world: World, cli: Stow) -> None:
    await plant(world, "a")

    done = await cli.run("rm", "reports/a", "--if-match", "0" * 32)

    assert done.code == 5
    assert world.bytes_of("a") == b"data"


async def test_rm_that_fails_in_the_middle_says_what_is_gone(world: World, cli: Stow) -> None:
    await plant(world, "a")
    await plant(world, "b")

    done = await cli.run("rm", "--json", "reports/a", "other/x", "reports/b")

    assert done.code == 3
    assert done.json == {"deleted": [{"container": "reports", "key": "a"}]}
    assert json.loads(done.error)["code"] == "container_not_found"
    assert world.bytes_of("b") == b"data"


async def test_cp_copies_without_moving_bytes_here(world: World, cli: Stow) -> None:
    await plant(world, "a b", b"copied")

    shown = await cli.run("cp", "reports/a b", "reports/c//d")
    reported = await cli.run("cp", "reports/a b", "reports/e", "--json")

    assert shown.text == "reports/a b copied to reports/c//d\n"
    assert world.bytes_of("c//d") == b"copied"
    assert reported.json.pop("etag")
    assert reported.json["size"] == 6
    assert reported.json["source"] == {"container": "reports", "key": "a b"}
    assert reported.json["destination"] == {"container": "reports", "key": "e"}


async def test_a_signed_url_works_for_any_client_without_a_token(world: World, cli: Stow) -> None:
    await plant(world, "a b/ü", b"signed")

    shown = await cli.run("sign", "reports/a b/ü", "--expires-in", "1h30m")
    reported = await cli.run("sign", "reports/a b/ü", "--method", "PUT", "--content-type", "text/plain", "--json")
    fetched = await asyncio.to_thread(_fetch, shown.text.strip())

    assert (shown.error, fetched) == ("", b"signed")
    assert reported.json.keys() == {"url", "method", "expiresAt", "requiredHeaders"}
    assert reported.json["method"] == "PUT"
    assert reported.json["requiredHeaders"] == {"Content-Type": "text/plain"}


async def test_the_lifetime_of_a_signed_url_is_what_was_asked_for(cli: Stow) -> None:
    signed = await cli.run("sign", "reports/k", "--expires-in", "90s", "--json")

    assert signed.json["expiresAt"] == "2026-01-02T03:05:35Z"


async def test_headers_that_a_signed_url_needs_are_said_on_stderr(cli: Stow) -> None:
    done = await cli.run("sign", "reports/k", "--method", "PUT", "--content-type", "text/plain")

    assert done.text.startswith("http://127.0.0.1:")
    assert done.error == "send with it: Content-Type: text/plain\n"


async def test_what_a_signed_url_is_to_be_bound_to_is_sent(cli: Stow) -> None:
    md5 = "1B2M2Y8AsgTpgAmY7PhCfg=="
    bound = await cli.run("sign", "reports/k", "--method", "PUT", "--content-md5", md5, "--max-bytes", "7", "--json")

    assert bound.json["requiredHeaders"] == {"Content-MD5": md5}
    assert "max=7" in bound.json["url"]


@pytest.mark.parametrize("option", ["--header", "--response-header"])
async def test_what_this_backend_cannot_bind_is_refused_and_not_left_out(cli: Stow, option: str) -> None:
    refused = await cli.run("sign", "reports/k", option, "Content-Language=en")
    malformed = await cli.run("sign", "reports/k", option, "no-value")

    assert "cannot be bound to" in refused.error
    assert refused.text == ""
    assert malformed.code == 2
    assert "NAME=VALUE" in malformed.error


async def test_a_base_container_is_reached_by_its_location(world: World, cli: Stow) -> None:
    store = world.location("base", config=StoreConfig("uid-base", base_container="base-bucket"))
    await store.create_container("base-bucket", marker=None)

    put = await cli.run("put", "-", "base-bucket/k", "--location", "base", stdin=b"in the base")

    assert put.code == 0, put.error
    assert world.bytes_of("k", "base-bucket") == b"in the base"


def _fetch(url: str) -> bytes:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=30) as answer:
        return bytes(answer.read())


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
