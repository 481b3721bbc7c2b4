"""The rules that the root conftest adds: nothing is skipped, and SIGTERM tears fixtures down."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TIMEOUT_S = 60.0
SKIPS = {
    "in_a_test": "import pytest\ndef test_it():\n    pytest.skip('no server')\n",
    "by_a_mark": "import pytest\n@pytest.mark.skip(reason='no server')\ndef test_it(): ...\n",
    "in_a_fixture": "import pytest\n@pytest.fixture\ndef it():\n    pytest.skip('no server')\ndef test_it(it): ...\n",
    "of_a_module": "import pytest\npytest.skip('no server', allow_module_level=True)\n",
    "by_a_missing_library": "import pytest\npytest.importorskip('no_such_library', reason='no server')\n",
}
XFAIL = "import pytest\n@pytest.mark.xfail(strict=True, reason='known')\ndef test_it():\n    raise AssertionError\n"
SLOW = """
import os, signal, pytest
@pytest.fixture(scope="session")
def server():
    yield
    print("torn down", flush=True)
def test_it(server):
    os.kill(os.getpid(), signal.SIGTERM)
    signal.pause()
"""


def run_pytest(folder: Path, **modules: str) -> subprocess.CompletedProcess[str]:
    """Run test modules in a process of their own, with the root conftest and none of our settings."""
    for name, code in modules.items():
        (folder / f"test_{name}.py").write_text(code)
    (folder / "pytest.ini").write_text("[pytest]\n")
    tests = Path(__file__).parents[1]
    (folder / "conftest.py").write_text((tests / "conftest.py").read_text(encoding="utf-8"))
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-s",
            "-rA",
            "--continue-on-collection-errors",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
            ".",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), *sys.path])},
        check=False,
    )


def test_every_kind_of_skip_fails_and_an_expected_failure_does_not(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, xfail=XFAIL, **SKIPS)

    failed = {
        line.split()[1].partition("::")[0] for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))
    }
    assert failed == {f"test_{name}.py" for name in SKIPS}, done.stdout
    assert done.stdout.count("nothing may be skipped") >= len(SKIPS)
    assert "XFAIL test_xfail.py::test_it" in done.stdout
    assert "skipped in" not in done.stdout


def test_sigterm_tears_session_fixtures_down(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, it=SLOW)

    assert done.returncode == pytest.ExitCode.INTERRUPTED
    assert "torn down" in done.stdout
