"""The look-up order of programs, and what a person reads where no step helps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dev.conftest import RecordedProgress, ScriptedRunner
from stow.dev import prepare, versions
from stow.dev.assets import CONTROL_PLANE, TOOLS, Assets, Tool
from stow.dev.cache import Cache
from stow.dev.failures import CommandFailedError, DevError, ToolUnavailableError
from stow.dev.progress import Progress
from stow.dev.workshop import Workshop


@dataclass
class FakeRecipe:
    """Writes an executable, or fails, or writes nothing that can be run."""

    error: DevError | None = None
    mode: int = 0o755
    made: list[str] = field(default_factory=list)

    def make(self, folder: Path, name: str, *, workshop: Workshop) -> None:
        self.made.append(name)
        if self.error is not None:
            raise self.error
        write_program(folder / name, mode=self.mode)


@dataclass
class FakeDownload:
    names: tuple[str, ...] = ()
    calls: int = 0

    def __call__(self, cache: Cache, progress: Progress) -> Path | None:
        self.calls += 1
        if not self.names:
            return None
        return cache.fill(
            "envtest", versions.ENVTEST, lambda folder: [write_program(folder / name) for name in self.names] and None
        )


def write_program(path: Path, *, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


@pytest.fixture
def cache(tmp_path: Path, progress: RecordedProgress) -> Cache:
    return Cache(tmp_path / "cache", progress=progress)


@pytest.fixture
def recipe() -> FakeRecipe:
    return FakeRecipe()


@pytest.fixture
def lookup(
    cache: Cache, progress: RecordedProgress, runner: ScriptedRunner, recipe: FakeRecipe
) -> Callable[..., Assets]:
    def make(*, environ: dict[str, str] | None = None, download: FakeDownload | None = None) -> Assets:
        tools = (
            Tool("api", "v1", recipe, kubebuilder=True, envtest=True),
            Tool("manager", "v1", recipe, kubebuilder=True),
            Tool("store", "v1", recipe),
            Tool("client", "v1", recipe, on_path=True),
            Tool("library", "v1", recipe, program="bin/interpreter"),
        )
        workshop = Workshop(cache=cache, environ=environ or {}, runner=runner, progress=progress)
        return Assets(workshop, tools={tool.name: tool for tool in tools}, download=download or FakeDownload())

    return make


def test_kubebuilder_assets_come_first(lookup: Callable[..., Assets], cache: Cache, tmp_path: Path) -> None:
    write_program(cache.folder("api", "v1") / "api")
    given = write_program(tmp_path / "given" / "api")

    assert lookup(environ={"KUBEBUILDER_ASSETS": str(tmp_path / "given")}).find("api") == given


def test_what_kubebuilder_assets_lack_is_looked_up_further(
    lookup: Callable[..., Assets], tmp_path: Path, recipe: FakeRecipe
) -> None:
    """Published archives hold no controller manager."""
    write_program(tmp_path / "given" / "api")

    lookup(environ={"KUBEBUILDER_ASSETS": str(tmp_path / "given")}).find("manager")

    assert recipe.made == ["manager"]


def test_a_server_is_not_looked_up_in_kubebuilder_assets(
    lookup: Callable[..., Assets], tmp_path: Path, recipe: FakeRecipe
) -> None:
    write_program(tmp_path / "given" / "store")

    lookup(environ={"KUBEBUILDER_ASSETS": str(tmp_path / "given")}).find("store")

    assert recipe.made == ["store"]


def test_kubebuilder_assets_that_are_no_folder_are_refused(lookup: Callable[..., Assets]) -> None:
    with pytest.raises(DevError, match="KUBEBUILDER_ASSETS is /absent, which is no folder: correct it, or unset it"):
        lookup(environ={"KUBEBUILDER_ASSETS": "/absent"}).find("api")


def test_a_relative_folder_is_found_from_everywhere(
    lookup: Callable[..., Assets], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Servers are started in their run folder."""
    write_program(tmp_path / "given" / "api")
    write_program(tmp_path / "given" / "client")
    monkeypatch.chdir(tmp_path)
    assets = lookup(environ={"KUBEBUILDER_ASSETS": "given", "PATH": "given"})

    assert assets.find("api") == tmp_path / "given" / "api"
    assert assets.find("client") == tmp_path / "given" / "client"


def test_the_cache_comes_before_download_and_build(
    lookup: Callable[..., Assets], cache: Cache, recipe: FakeRecipe
) -> None:
    cached = write_program(cache.folder("api", "v1") / "api")
    download = FakeDownload(("api",))

    assert lookup(download=download).find("api") == cached
    assert (download.calls, recipe.made) == (0, [])


def test_the_download_comes_before_the_build(lookup: Callable[..., Assets], cache: Cache, recipe: FakeRecipe) -> None:
    found = lookup(download=FakeDownload(("api",))).find("api")

    assert found == cache.folder("envtest", versions.ENVTEST) / "api"
    assert recipe.made == []


def test_a_downloaded_program_is_found_in_the_cache_the_next_time(lookup: Callable[..., Assets]) -> None:
    first = lookup(download=FakeDownload(("api",))).find("api")
    again = FakeDownload()

    assert lookup(download=again).find("api") == first
    assert again.calls == 0


def test_without_network_the_program_is_built_once_and_cached(
    lookup: Callable[..., Assets], cache: Cache, recipe: FakeRecipe
) -> None:
    assert lookup().find("api") == cache.folder("api", "v1") / "api"
    assert lookup().find("api") == cache.folder("api", "v1") / "api"
    assert recipe.made == ["api"]


def test_what_is_a_library_is_found_by_its_interpreter(
    lookup: Callable[..., Assets], cache: Cache, recipe: FakeRecipe
) -> None:
    expected = cache.folder("library", "v1") / "bin" / "interpreter"

    assert [lookup().find("library"), lookup().find("library")] == [expected, expected]
    assert recipe.made == ["bin/interpreter"]


def test_an_interpreter_that_went_away_is_looked_for_again(
    lookup: Callable[..., Assets], cache: Cache, recipe: FakeRecipe, tmp_path: Path
) -> None:
    link = cache.folder("library", "v1") / "bin" / "interpreter"
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "removed")

    assert lookup().find("library").is_file()
    assert recipe.made == ["bin/interpreter"]


def test_a_failed_download_is_not_tried_for_every_program(
    cache: Cache, progress: RecordedProgress, runner: ScriptedRunner
) -> None:
    download, recipe = FakeDownload(), FakeRecipe()
    tools = {name: Tool(name, "v1", recipe, envtest=True) for name in ("a", "b")}
    assets = Assets(Workshop(cache=cache, environ={}, runner=runner, progress=progress), tools=tools, download=download)

    assets.find_all(tools)

    assert download.calls == 1


def test_only_programs_that_are_published_are_downloaded(lookup: Callable[..., Assets]) -> None:
    download = FakeDownload(("manager",))

    lookup(download=download).find("manager")

    assert download.calls == 0


def test_a_client_of_any_version_is_taken_from_path(lookup: Callable[..., Assets], tmp_path: Path) -> None:
    on_path = write_program(tmp_path / "bin" / "client")
    write_program(tmp_path / "bin" / "store")
    assets = lookup(environ={"PATH": str(tmp_path / "bin")})

    assert assets.find("client") == on_path
    assert assets.find("store") != tmp_path / "bin" / "store"


def test_where_nothing_works_the_error_names_the_cause_and_the_ways_out(
    lookup: Callable[..., Assets], recipe: FakeRecipe, cache: Cache
) -> None:
    recipe.error = CommandFailedError("building api failed: undefined: os.Foo")

    with pytest.raises(ToolUnavailableError) as caught:
        lookup().find("api")

    text = str(caught.value)
    assert "api v1 is not here and could not be made" in text
    assert "undefined: os.Foo" in text
    assert "Set KUBEBUILDER_ASSETS" in text
    assert str(cache.folder("api", "v1") / "api") in text


def test_a_build_that_leaves_nothing_to_run_is_an_error(lookup: Callable[..., Assets], recipe: FakeRecipe) -> None:
    recipe.mode = 0o644

    with pytest.raises(ToolUnavailableError, match="left no executable"):
        lookup().find("store")


def test_the_table_holds_the_control_plane() -> None:
    assert set(CONTROL_PLANE) <= set(TOOLS)
    assert all(TOOLS[name].kubebuilder for name in CONTROL_PLANE)


def test_prepare_prints_where_each_program_lies(
    lookup: Callable[..., Assets], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    given = write_program(tmp_path / "given" / "etcd").parent
    assets = lookup(environ={"KUBEBUILDER_ASSETS": str(given)})
    assets._tools = {"etcd": Tool("etcd", "v1", FakeRecipe(), kubebuilder=True)}

    assert prepare.main(["etcd"], assets=assets) == 0
    assert capsys.readouterr().out == f"etcd: {given / 'etcd'}\n"


def test_prepare_refuses_a_program_that_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare.main(["etcd", "emacs"]) == 1
    assert "unknown program emacs; there are etcd, kube-apiserver" in capsys.readouterr().err


def test_prepare_says_why_it_failed(lookup: Callable[..., Assets], capsys: pytest.CaptureFixture[str]) -> None:
    assets = lookup(environ={"KUBEBUILDER_ASSETS": "/absent"})
    assets._tools = {"etcd": Tool("etcd", "v1", FakeRecipe(), kubebuilder=True)}

    assert prepare.main(["etcd"], assets=assets) == 1
    assert "KUBEBUILDER_ASSETS is /absent" in capsys.readouterr().err
