"""Whatever goes wrong is one message, the documented exit code, and nothing half-done."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from pathlib import Path

import pytest

from cli.command import DEADLINE_S, Stow, answering, http, plant
from gateway.world import World, until
from stow.cli.exits import Exit, exit_of_answer, failure_of
from stow.dev.certificates import Authority, now
from stow.errors import BackendUnreachableError


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, "invalid_key", Exit.FAILED),
        (401, "unauthenticated", Exit.REFUSED),
        (403, "forbidden", Exit.REFUSED),
        (404, "object_not_found", Exit.NOT_FOUND),
        (404, "container_not_found", Exit.NOT_FOUND),
        (404, "location_not_found", Exit.NOT_FOUND),
        (404, "route_not_found", Exit.FAILED),
        (404, "", Exit.FAILED),
        (408, "request_timeout", Exit.UNAVAILABLE),
        (409, "container_stalled", Exit.FAILED),
        (412, "precondition_failed", Exit.PRECONDITION),
        (429, "too_many_requests", Exit.UNAVAILABLE),
        (500, "internal", Exit.UNAVAILABLE),
        (501, "unsupported", Exit.FAILED),
        (503, "overloaded", Exit.UNAVAILABLE),
    ],
)
def test_exit_code_of_an_answer(status: int, code: str, expected: Exit) -> None:
    """Only the gateway's own word on an object, a container or a location means absent: a script deletes on that."""
    assert exit_of_answer(status, code) is expected


def test_an_error_that_nobody_foresaw_is_named_by_its_kind_and_place_alone() -> None:
    try:
        raise KeyError("canary")
    except KeyError as error:
        failure = failure_of(error)

    assert failure.exit_code is Exit.FAILED
    assert "KeyError at test_failures.py:" in failure.message
    assert "canary" not in failure.message


async def test_absent_is_3_with_the_gateways_code_as_json(cli: Stow) -> None:
    done = await cli.run("cat", "reports/none", "-o", "out", "--json")

    assert (done.code, done.output) == (3, b"")
    assert json.loads(done.error) == {"code": "object_not_found", "message": "The object does not exist."}
    assert list(cli.home.iterdir()) == []


async def test_head_has_no_body_and_still_says_what_is_missing(cli: Stow) -> None:
    done = await cli.run("stat", "reports/none")

    assert (done.code, done.error) == (3, "stow: object not found (HTTP 404)\n")


async def test_a_refused_head_says_what_to_do(world: World, cli: Stow, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("canary-wrong-token")
    world.access.granted.clear()

    forbidden = await cli.run("stat", "reports/k")
    unknown = await cli.run("stat", "reports/k", "--token-file", str(tmp_path / "wrong"))

    assert (forbidden.code, unknown.code) == (4, 4)
    assert "ask for that verb in a Role" in forbidden.error
    assert "check its audience" in unknown.error


@pytest.mark.parametrize("size_bytes", [10, 3_000_000, 100_000_000])
async def test_no_right_is_4_and_sends_no_upload_to_the_backend(
    world: World, cli: Stow, tmp_path: Path, size_bytes: int
) -> None:
    """Also where the refusal comes in the middle of an upload that goes on for a while."""
    world.access.granted.clear()
    with (tmp_path / "file").open("wb") as file:
        file.truncate(size_bytes)

    done = await cli.run("put", str(tmp_path / "file"), "reports/k", "--no-checksum")

    assert done.code == 4, done.error
    assert world.driver.reached == []


async def test_a_wrong_token_is_4_and_is_not_shown(cli: Stow, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("canary-wrong-token")

    done = await cli.run("ls", "reports", "--token-file", str(tmp_path / "wrong"))

    assert done.code == 4
    assert "audience" in done.error
    assert "canary" not in done.error


async def test_a_backend_that_cannot_be_reached_is_6(world: World, cli: Stow) -> None:
    world.driver.stop.add("read")
    world.driver.error = BackendUnreachableError("The backend cannot be reached.")

    assert (await cli.run("cat", "reports/k")).code == 6


async def test_no_gateway_there_is_6_and_says_where_it_was_looked_for(cli: Stow, unused_port: int) -> None:
    done = await cli.run("ls", "reports", "--server", f"http://127.0.0.1:{unused_port}")

    assert done.code == 6
    assert f"http://127.0.0.1:{unused_port} cannot be reached (Connection refused)" in done.error


@pytest.fixture
def unused_port() -> int:
    from stow.dev.processes import free_port

    return free_port()


@pytest.mark.parametrize(
    "arguments",
    [
        ("ls",),
        ("ls", "s3://reports/a"),
        ("ls", "/a"),
        ("ls", "reports", "--limit", "0"),
        ("ls", "reports", "--location", "a", "--cluster-location", "b"),
        ("stat", "reports"),
        ("cat", "reports/k", "--json"),
        ("cat", "reports/k", "--range", "x"),
        ("cat", "reports/k", "--range", ""),
        ("cat", "reports/k", "--range", "5-2"),
        ("put", "-", "reports/k", "--if-match", ""),
        ("put", "-", "reports/k", "--if-match", 'a"b'),
        ("put", "-", "reports/k", "--if-match", "a", "--create-only"),
        ("put", "-", "reports/k", "--meta", "no-value"),
        ("put", "-", "reports/k", "--meta", "a=1", "--meta", "A=2"),
        ("put", "-", "reports/k", "--meta", "a b=1"),
        ("put", "-", "reports/k", "--meta", "a=line\nbreak"),
        ("put", "-", "reports/k", "--content-type", "text/plain\r\nX: y"),
        ("put", "none", "reports/k"),
        ("put", ".", "reports/k"),
        ("rm", "reports/a", "reports/b", "--if-match", "x"),
        ("rm", "reports/a", "--if-match", ""),
        ("rm", "reports/a", "reports"),
        ("sign", "reports/k", "--expires-in", "soon"),
        ("sign", "reports/k", "--method", "PATCH"),
        ("ls", "reports", "--server", "objects.example.com"),
        ("ls", "reports", "--server", "http://user:canary@host"),
        ("ls", "reports", "--server", "http://host:port"),
        ("ls", "reports", "--token-file", "none"),
        ("ls", "reports", "--ca-file", "none"),
        ("frobnicate",),
    ],
    ids=" ".join,
)
async def test_wrong_use_is_2_before_anything_is_sent(world: World, cli: Stow, arguments: tuple[str, ...]) -> None:
    done = await cli.run(*arguments)

    assert (done.code, done.output) == (2, b""), done.error
    assert "canary" not in done.error
    assert world.tokens.asked == []


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines", b"\xff\xfe\x00", b"a b", b"x" * 70_000])
async def test_a_file_that_holds_no_token_is_wrong_use(cli: Stow, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad").write_bytes(content)

    done = await cli.run("ls", "reports", "--token-file", str(tmp_path / "bad"))

    assert done.code == 2
    assert "does not hold a token" in done.error


async def test_arguments_that_are_no_utf_8_are_wrong_use(cli: Stow) -> None:
    done = await cli.run("stat", "reports/" + os.fsdecode(b"\xff"))

    assert (done.code, "is not valid UTF-8" in done.error) == (2, True)


async def test_an_output_that_cannot_be_written_is_named(world: World, cli: Stow, tmp_path: Path) -> None:
    await plant(world, "k", b"x" * 100_000)

    folder = await cli.run("cat", "reports/k", "-o", "no/such/folder/out")
    full = await cli.run("cat", "reports/k", "-o", "/dev/full")
    (tmp_path / "dir").mkdir()
    is_folder = await cli.run("cat", "reports/k", "-o", str(tmp_path / "dir"))

    assert (folder.code, folder.error) == (1, "stow: no/such/folder/out: No such file or directory.\n")
    assert (full.code, "No space left on device" in full.error) == (1, True)
    assert is_folder.code == 2


async def test_a_full_disk_behind_standard_output_is_named(world: World, cli: Stow) -> None:
    await plant(world, "k", b"x" * 100_000)

    with Path("/dev/full").open("wb") as full:
        async with cli.started("cat", "reports/k", stdout=full.fileno()) as process:
            _, error = await process.communicate()

    assert (process.returncode, error) == (1, b"stow: standard output: No space left on device.\n")


async def test_closed_standard_streams_are_wrong_use(world: World, cli: Stow) -> None:
    """Their numbers may belong to a socket by then."""
    await plant(world, "k", b"data")
    command = " ".join(cli.argv())

    async def shell(rest: str) -> tuple[int | None, bytes]:
        process = await asyncio.create_subprocess_shell(
            f"{command} {rest}", env=cli.environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        _, error = await process.communicate()
        return process.returncode, error

    assert await shell("cat reports/k >&-") == (2, b"stow: Standard output is closed.\n")
    assert await shell("put - reports/new <&-") == (2, b"stow: Standard input is closed.\n")
    assert world.bytes_of("new") is None


async def test_a_source_that_fails_while_it_is_read_is_named_and_stores_nothing(world: World, cli: Stow) -> None:
    """``/proc/self/mem`` opens, says that it is empty, and fails at the first read."""
    done = await cli.run("put", "/proc/self/mem", "reports/k")

    assert (done.code, done.error) == (1, "stow: /proc/self/mem: Input/output error.\n")
    assert world.bytes_of("k") is None


async def test_a_file_that_has_more_bytes_than_it_said_stores_nothing(world: World, cli: Stow) -> None:
    """``/proc/version`` is a regular file of 0 bytes that holds some."""
    done = await cli.run("put", "/proc/version", "reports/k", "--no-checksum")

    assert (done.code, "changed its size" in done.error) == (1, True)
    assert world.bytes_of("k") is None


async def test_a_file_that_shrinks_while_it_is_sent_stores_nothing(world: World, cli: Stow, tmp_path: Path) -> None:
    await plant(world, "k", b"old")
    (tmp_path / "file").write_bytes(bytes(30_000_000))
    world.driver.reached.clear()
    world.driver.stop.add("part")

    async with cli.started("put", str(tmp_path / "file"), "reports/k", "--no-checksum") as process:
        await until(lambda: "part" in world.driver.reached, timeout_s=DEADLINE_S)
        os.truncate(tmp_path / "file", 1_000_000)
        world.driver.stop.clear()
        world.driver.gate.set()
        output, error = await process.communicate()

    assert (process.returncode, output) == (1, b"")
    assert b"changed its size while it was sent" in error
    assert world.bytes_of("k") == b"old"


async def test_a_download_that_is_cut_fails_and_leaves_the_old_file(stow: Stow, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    (tmp_path / "home" / "out").write_bytes(b"old")
    async with answering(http("200 OK", b"x" * 1000, length=5000)) as (url, _):
        told = stow.told(STOW_SERVER=url, STOW_TOKEN_FILE=str(tmp_path / "token"), STOW_NAMESPACE="team")
        saved = await told.run("cat", "reports/k", "-o", "out")
        shown = await told.run("cat", "reports/k")

    assert (saved.code, saved.error) == (6, "stow: The download was cut after 1000 of 5000 bytes.\n")
    assert shown.code == 6
    assert {each.name: each.read_bytes() for each in told.home.iterdir()} == {"out": b"old"}


@pytest.mark.parametrize("verb", [("put", "-", "c/k"), ("rm", "c/k"), ("cp", "c/k", "c/l"), ("sign", "c/k")])
async def test_a_lost_answer_is_said_and_nothing_is_sent_again(
    stow: Stow, tmp_path: Path, verb: tuple[str, ...]
) -> None:
    (tmp_path / "token").write_text("t")
    async with answering() as (url, heads):
        done = await stow.told(STOW_SERVER=url, STOW_TOKEN_FILE=str(tmp_path / "token"), STOW_NAMESPACE="n").run(*verb)

    assert (done.code, len(heads)) == (6, 1)
    assert "Whether the change was made is not known" in done.error


async def test_a_delete_on_a_connection_that_broke_meanwhile_is_not_sent_again(stow: Stow, tmp_path: Path) -> None:
    """Second requests reuse the first one's connection, which this server closes under them."""
    (tmp_path / "token").write_text("t")
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        told = stow.told(STOW_SERVER=url, STOW_TOKEN_FILE=str(tmp_path / "token"), STOW_NAMESPACE="n")
        done = await told.run("rm", "c/a", "c/b")

    assert (done.code, len(requests)) == (6, 2)
    assert done.text == "c/a deleted\n"


@pytest.mark.parametrize(
    "answer",
    [
        http("200 OK", b"<html>", "Content-Type: text/html"),
        http("200 OK", b"{}", "Content-Type: application/json"),
        http("200 OK", b"[1]", "Content-Type: application/json"),
        http("200 OK", b"\xff", "Content-Type: application/json"),
        http("404 Not Found", b"<html>", "Content-Type: text/html"),
        http("302 Found", b"", "Location: http://elsewhere.test/"),
        http("400 Bad Request", b"[]", "Content-Type: application/problem+json"),
    ],
)
async def test_something_else_that_answers_is_1_and_no_traceback(stow: Stow, tmp_path: Path, answer: bytes) -> None:
    (tmp_path / "token").write_text("t")
    async with answering(answer) as (url, _):
        told = stow.told(STOW_SERVER=url, STOW_TOKEN_FILE=str(tmp_path / "token"), STOW_NAMESPACE="team")
        done = await told.run("ls", "reports")

    assert (done.code, done.output) == (1, b"")
    assert "error of the command itself" not in done.error


async def test_a_server_that_ignores_the_range_is_refused(stow: Stow, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    async with answering(http("200 OK", b"everything")) as (url, _):
        told = stow.told(STOW_SERVER=url, STOW_TOKEN_FILE=str(tmp_path / "token"), STOW_NAMESPACE="team")
        done = await told.run("cat", "reports/k", "--range", "0-1")

    assert (done.code, done.output) == (1, b"")


async def test_what_a_server_says_cannot_drive_the_terminal(stow: Stow, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    body = json.dumps({"code": "x", "detail": "first\nsecond \x1b[2J\u202e end"}).encode()
    async with answering(http("409 Conflict", body, "Content-Type: application/problem+json")) as (url, _):
        told = stow.told(STOW_SERVER=url, STOW_TOKEN_FILE=str(tmp_path / "token"), STOW_NAMESPACE="team")
        done = await told.run("ls", "reports")

    assert done.error == "stow: first\nsecond \\x1b[2J\\u202e end\n"


async def test_tls_works_with_the_right_authority_and_fails_with_words_otherwise(cli: Stow, tmp_path: Path) -> None:
    (tmp_path / "ca").mkdir()
    (tmp_path / "other").mkdir()
    authority, other = Authority(tmp_path / "ca", now=now()), Authority(tmp_path / "other", now=now())
    pair = authority.issue_server("gateway")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate_path, pair.key_path)
    async with answering(http("200 OK", b"data"), tls=context) as (url, _):
        good = await cli.run("cat", "reports/k", "--server", url, "--ca-file", str(authority.path))
        unknown = await cli.run("cat", "reports/k", "--server", url)
        wrong = await cli.run("cat", "reports/k", "--server", url, "--ca-file", str(other.path))
        no_pem = await cli.run("cat", "reports/k", "--server", url, "--ca-file", str(tmp_path / "token"))
    no_tls = await cli.run("cat", "reports/k", "--server", cli.variables["STOW_SERVER"].replace("http:", "https:"))

    assert (good.output, good.error) == (b"data", "")
    assert [each.code for each in (unknown, wrong, no_tls, no_pem)] == [6, 6, 6, 2]
    assert "is not trusted" in unknown.error
    assert "is not trusted" in wrong.error
    assert "http or https" in no_tls.error
