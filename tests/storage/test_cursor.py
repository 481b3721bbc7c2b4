"""The seal of cursors: what it binds, and that no other spelling opens it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stow.errors import InvalidCursorError
from stow.storage.cursor import MAX_CURSOR_CHARS, CursorSeal

SEAL = CursorSeal(b"k" * 32, "uid-1")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/="


@dataclass(frozen=True)
class Listing:
    container: str
    prefix: str
    delimiter: str | None

    def seal(self, token: str, seal: CursorSeal = SEAL) -> str:
        return seal.seal(token, container=self.container, prefix=self.prefix, delimiter=self.delimiter)

    def open(self, cursor: str, seal: CursorSeal = SEAL) -> str:
        return seal.open(cursor, container=self.container, prefix=self.prefix, delimiter=self.delimiter)


LISTINGS = st.builds(Listing, TEXT, TEXT, st.sampled_from([None, "/", "-"]))
HERE = Listing("box", "a/", "/")


@given(LISTINGS, TEXT)
def test_a_cursor_opens_for_its_own_listing(listing: Listing, token: str) -> None:
    cursor = listing.seal(token)
    assert cursor.isascii()
    assert listing.open(cursor) == token


@given(LISTINGS, LISTINGS, TEXT)
def test_a_cursor_opens_for_no_other_listing(one: Listing, other: Listing, token: str) -> None:
    if one == other:
        return
    with pytest.raises(InvalidCursorError):
        other.open(one.seal(token))


@given(TEXT, st.data())
def test_no_other_spelling_opens(token: str, data: st.DataObject) -> None:
    cursor = HERE.seal(token)
    at = data.draw(st.integers(0, len(cursor) - 1))
    new = data.draw(st.sampled_from(ALPHABET))
    altered = cursor[:at] + new + cursor[at + 1 :]
    if altered == cursor:
        return
    with pytest.raises(InvalidCursorError):
        HERE.open(altered)


@pytest.mark.parametrize("token", ["", "a", "ab", "abc"])
def test_every_change_of_the_last_character_is_noticed(token: str) -> None:
    cursor = HERE.seal(token)
    for character in ALPHABET:
        if character != cursor[-1]:
            with pytest.raises(InvalidCursorError):
                HERE.open(cursor[:-1] + character)


@pytest.mark.parametrize("cursor", ["", "A", "AA", "=", "\u00e9", "\ud800", " ", "a b", "A" * (MAX_CURSOR_CHARS + 1)])
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursorError):
        HERE.open(cursor)


def test_padding_and_white_space_are_not_forgiven() -> None:
    cursor = HERE.seal("token")
    for spelling in (cursor + "=", cursor + "==", cursor + "\n", " " + cursor, cursor[:5] + "\n" + cursor[5:]):
        with pytest.raises(InvalidCursorError):
            HERE.open(spelling)


@pytest.mark.parametrize("seal", [CursorSeal(b"x" * 32, "uid-1"), CursorSeal(b"k" * 32, "uid-2")])
def test_another_key_or_location_does_not_open_it(seal: CursorSeal) -> None:
    with pytest.raises(InvalidCursorError):
        HERE.open(HERE.seal("token"), seal)


def test_the_key_shows_in_no_repr() -> None:
    assert "kkkk" not in repr(SEAL)


def test_fields_do_not_run_into_each_other() -> None:
    cursor = Listing("ab", "c", None).seal("t")
    with pytest.raises(InvalidCursorError):
        Listing("a", "bc", None).open(cursor)


def test_an_error_tells_nothing_of_the_cursor() -> None:
    with pytest.raises(InvalidCursorError) as raised:
        Listing("other", "", None).open(HERE.seal("secret-token"))
    assert "secret" not in repr(raised.value)
    assert raised.value.__cause__ is None
