"""On a terminal: the progress bar, names that would drive it, help that reads well; and what starts quickly."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios

import click
import pytest

from cli.command import DEADLINE_S, SOURCE, Stow, plant
from gateway.world import World
from stow.cli import show
from stow.cli.main import main
from stow.cli.text import visible

MIB = 1024 * 1024
CLEAR_LINE = "\x1b[2K"


async def on_terminal(stow: Stow, *arguments: str, output_too: bool = False) -> tuple[int | None, str, bytes]:
    """Run the command with stderr (and stdout) on a terminal of 100 columns: exit code, what it drew, its piped stdout."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    drawn: list[bytes] = []

    def read() -> None:
        with contextlib.suppress(OSError):  # EIO: the other side is closed
            while chunk := os.read(ours, 65536):
                drawn.append(chunk)

    told = stow.told(TERM="xterm-256color")
    async with told.started(*arguments, stderr=theirs, stdout=theirs if output_too else -1) as process:
        os.close(theirs)
        reader = asyncio.create_task(asyncio.to_thread(read))
        async with asyncio.timeout(DEADLINE_S):
            output, _ = await process.communicate()
            await reader
    os.close(ours)
    return process.returncode, b"".join(drawn).decode(), output or b""


async def test_a_bar_with_the_name_and_size_is_drawn_on_a_terminal(world: World, cli: Stow) -> None:
    await plant(world, "[/b]k", bytes(2 * MIB))

    code, drawn, output = await on_terminal(cli, "cat", "reports/[/b]k")

    assert (code, len(output)) == (0, 2 * MIB)
    assert "reports/[/b]k" in drawn
    assert "/2.1 MiB" in drawn or "2.0/2.0 MiB" in drawn
    assert CLEAR_LINE in drawn  # it goes when it is done


async def test_no_bar_is_drawn_across_an_object_on_the_same_terminal(world: World, cli: Stow) -> None:
    await plant(world, "k", b"one line\n")

    code, drawn, _ = await on_terminal(cli, "cat", "reports/k", output_too=True)

    assert (code, drawn) == (0, "one line\r\n")


async def test_nothing_is_drawn_where_stderr_is_no_terminal_whatever_the_environment_says(
    world: World, cli: Stow
) -> None:
    await plant(world, "k", bytes(2 * MIB))

    done = await cli.told(FORCE_COLOR="1", TTY_COMPATIBLE="1").run("cat", "reports/k")

    assert (done.code, done.error) == (0, "")


async def test_names_and_values_that_others_chose_cannot_drive_the_terminal(world: World, cli: Stow) -> None:
    key = "\x1b]0;title\x07\u202e\x9b2Jtür\\n"
    await plant(world, key)

    listed = await cli.run("ls", "-r", "reports")
    document = await cli.run("ls", "-r", "reports", "--json")
    removed = await cli.run("rm", f"reports/{key}")

    assert r"\x1b]0;title\x07\u202e\x9b2Jtür\\n" in listed.text
    assert document.output.isascii()
    assert document.json["objects"][0]["key"] == key
    assert removed.text == "reports/" + r"\x1b]0;title\x07\u202e\x9b2Jtür\\n" + " deleted\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain tür 日本", "plain tür 日本"),
        ("a\nb", r"a\nb"),
        ("a\\nb", r"a\\nb"),
        ("\ud800", r"\ud800"),
        ("\u2028", r"\u2028"),
    ],
)
def test_visible_text_is_unambiguous(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize(
    ("size_bytes", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (MIB - 1, "1.0 MiB"),
        (5 * 1024 * MIB, "5.0 GiB"),
        (3 * MIB * MIB, "3.0 TiB"),
        (5000 * MIB * MIB, "5000.0 TiB"),
    ],
)
def test_sizes_read_well(size_bytes: int, shown: str) -> None:
    assert show.size(size_bytes) == shown


@pytest.mark.parametrize(
    "verb", [(), *((name,) for name in main.commands)], ids=lambda words: " ".join(words) or "stow"
)
async def test_help_says_what_each_option_is_for_within_100_columns(stow: Stow, verb: tuple[str, ...]) -> None:
    done = await stow.told(COLUMNS="100").run(*verb, "--help")

    assert (done.code, done.error) == (0, "")
    assert max(len(line) for line in done.text.splitlines()) <= 100
    for option in main.commands[verb[0]].params if verb else ():
        if isinstance(option, click.Option):
            assert option.help or option.show_default, option.name


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (["--help"], ("aiohttp", "asyncio", "boto3", "kopf", "kubernetes", "rich", "stow.cli.verbs")),
        (["put", "--help"], ("aiohttp", "asyncio", "boto3", "kopf", "kubernetes", "rich", "stow.cli.verbs")),
        (["ls", "c", "--server", "http://127.0.0.1:1", "-n", "x"], ("boto3", "kopf", "kubernetes", "rich")),
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(
    arguments: list[str], heavy: tuple[str, ...], stow: Stow
) -> None:
    (stow.home / "token").write_text("t")
    script = (
        "import json, sys\n"
        "from stow.cli.main import main\n"
        f"try: main({arguments!r}, prog_name='stow')\n"
        "except SystemExit as end: code = end.code\n"
        f"print(json.dumps([code, [m for m in {heavy!r} if m in sys.modules]]))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": SOURCE, "STOW_TOKEN_FILE": str(stow.home / "token"), "HOME": str(stow.home)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )

    assert json.loads(done.stdout.splitlines()[-1]) == [6 if arguments[0] == "ls" else 0, []]
