"""The mapping of keys to file names, as a pure function."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stow.drivers.local.keys import (
    PART_CHARACTERS,
    escape,
    file_part,
    folder_part,
    may_hold,
    path_of,
    unescape,
)

# Characters of one to four UTF-8 bytes, and those that mean something to file systems, shells or our own escaping.
ANY = st.characters(exclude_categories=["Cs"])
NASTY = st.sampled_from(list("aA=+.p/\\%~ \x00\x01\n\u00e9e\u0301\U0001f600"))
KEYS = st.text(ANY | NASTY, min_size=1, max_size=1024).filter(lambda key: len(key.encode()) <= 1024)
LONG = st.builds(lambda unit, count, tail: unit * count + tail, NASTY, st.integers(60, 250), st.text(NASTY, max_size=3))


def key_of(path: tuple[str, ...]) -> str | None:
    """The inverse, as a listing does it."""
    *folders, name = path
    parts = [folder_part(folder) for folder in folders] + [file_part(name)]
    assert None not in parts
    return unescape("".join(part for part in parts if part is not None))


@given(KEYS | LONG)
def test_a_key_comes_back_from_its_path(key: str) -> None:
    assert key_of(path_of(key)) == key


@given(KEYS | LONG)
def test_a_path_has_harmless_short_parts(key: str) -> None:
    for part in path_of(key):
        assert len(part) <= 255
        assert not part.startswith(".")
        assert set(part) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-=+.")
        assert part not in {".", ".."}


@given(KEYS | LONG, KEYS | LONG)
def test_two_keys_have_two_paths_and_no_path_is_below_another(one: str, other: str) -> None:
    if one != other:
        first, second = path_of(one), path_of(other)
        assert first != second
        assert first[: len(second)] != second
        assert second[: len(first)] != first


@given(KEYS | LONG, st.data())
def test_a_prefix_is_found_by_its_escaped_form_and_in_its_folders(key: str, data: st.DataObject) -> None:
    prefix = key[: data.draw(st.integers(0, len(key)))]
    assert escape(key).startswith(escape(prefix))
    above = ""
    for folder in path_of(key)[:-1]:
        above += folder_part(folder) or ""
        assert may_hold(above, escape(prefix))


@given(st.text(ANY, min_size=1, max_size=20), st.text(ANY, min_size=1, max_size=20))
def test_only_true_prefixes_match_escaped(key: str, prefix: str) -> None:
    assert escape(key).startswith(escape(prefix)) == key.startswith(prefix)


@given(st.text("abAB=0123456789f%.", max_size=12))
def test_what_was_not_escaped_by_us_is_no_key(text: str) -> None:
    key = unescape(text)
    assert key is None or escape(key) == text


def test_case_and_normal_forms_differ_in_more_than_case_and_form() -> None:
    names = {"/".join(path_of(key)).casefold() for key in ("a", "A", "\u00e9", "e\u0301", "\u212a", "k", "K")}
    assert len(names) == 7


def test_the_longest_key_fits_and_parts_are_cut_where_promised() -> None:
    path = path_of("/" * 1024)
    assert len(path) == -(-3 * 1024 // PART_CHARACTERS)
    assert path_of("x" * PART_CHARACTERS) == ("x" * PART_CHARACTERS + ".p",)
    assert path_of("x" * (PART_CHARACTERS + 1)) == ("x" * PART_CHARACTERS + "+", "x.p")
