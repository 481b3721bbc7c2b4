"""What the servers log: one JSON object a line on stderr, and nothing of libraries that would show headers or bodies."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from cli.command import DEADLINE_S, SOURCE

SCRIPT = """
import logging, sys
from stow.cli.logs import set_up_logging
set_up_logging(log_format=sys.argv[1], level=sys.argv[2])
set_up_logging(log_format=sys.argv[1], level=sys.argv[2])
log = logging.getLogger("stow.kube.watch")
log.debug("details")
logging.getLogger("stow.audit").info("who did what")
log.info("hello %s", "tür\\nsecond line", extra={"location": "team/main"})
for name in ("aiohttp.client", "boto3", "botocore.auth", "kopf.objects", "kubernetes.client.rest", "urllib3", "s3transfer"):
    logging.getLogger(name).debug("canary of " + name)
    logging.getLogger(name).info("canary of " + name)
    logging.getLogger(name).warning("warning of " + name)
try:
    raise ValueError("inner")
except ValueError:
    log.exception("failed")
"""


def logged(log_format: str, level: str) -> list[str]:
    """What a process logs; logging is set up for the whole process, so that each has one of its own."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, log_format, level],
        env={"PYTHONPATH": SOURCE, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=DEADLINE_S,
        check=True,
    )
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_each_line_is_one_json_object_with_time_level_logger_and_bound_fields() -> None:
    lines = [json.loads(line) for line in logged("json", "info")]

    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    _, first, *_, last = lines
    assert first["message"] == "hello tür\nsecond line"
    assert (first["level"], first["logger"], first["location"]) == ("INFO", "stow.kube.watch", "team/main")
    assert last["message"] == "failed"
    assert "ValueError: inner" in last["exc_info"]


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_libraries_that_would_show_headers_are_quiet_even_at_debug(log_format: str) -> None:
    text = "\n".join(logged(log_format, "debug"))

    assert "canary" not in text
    assert text.count("warning of") == 7
    assert "details" in text


def test_the_level_holds_for_everybody_but_the_audit() -> None:
    lines = [json.loads(line) for line in logged("json", "error")]

    assert [line["message"] for line in lines] == ["who did what", "failed"]


def test_text_reads_as_lines() -> None:
    _, first, *_ = logged("text", "info")

    assert first.endswith("INFO    stow.kube.watch: hello tür")
