"""References, container names, keys and metadata."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stow.errors import InvalidContainerNameError, InvalidKeyError, InvalidMetadataError, InvalidReferenceError
from stow.storage.names import (
    DataReference,
    KeyRules,
    check_container_name,
    check_metadata,
    decode_metadata_value,
    encode_metadata_value,
    printable,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
STRICT = KeyRules(
    max_segment_bytes=10,
    dot_segments=False,
    empty_segments=False,
    leading_slash=False,
    control_characters=False,
    backslash=False,
    trailing_slash=False,
)


@given(TEXT)
def test_a_reference_reads_back_whatever_its_key_holds(key: str) -> None:
    reference = DataReference("s3", "box", key)
    assert DataReference.parse(str(reference)) == reference


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("s3://box", ""),
        ("s3://box/", ""),
        ("s3://box//a", "/a"),
        ("s3://box/a?b#c", "a?b#c"),
        ("s3://box/%2e%2e/x", "%2e%2e/x"),
    ],
)
def test_a_key_is_everything_behind_the_first_slash(text: str, key: str) -> None:
    assert DataReference.parse(text) == DataReference("s3", "box", key)


@pytest.mark.parametrize(
    "text", ["", "box/k", "s3:/box/k", "://box/k", "S3://box/k", "s3:///k", "s 3://box/k", "3s://box/k"]
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(InvalidReferenceError):
        DataReference.parse(text)


@pytest.mark.parametrize("name", ["abc", "a-b.c1", "a" * 63, "1ab", "1.2.3.4a"])
def test_a_container_name_is_taken(name: str) -> None:
    check_container_name(name)


@pytest.mark.parametrize(
    "name",
    ["", "ab", "a" * 64, "A-b", "a_b", "-abc", "abc-", ".abc", "a..b", "1.2.3.4", "abc\n", "a/b", "äbc", "a b c"],
)
def test_what_is_no_container_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidContainerNameError):
        check_container_name(name)


@pytest.mark.parametrize("key", ["a", "a/b", "a b", "..a", "a..", "...", ".a/b.", "\u00e9/\U0001f600"])
def test_a_plain_key_passes_the_strictest_rules(key: str) -> None:
    STRICT.check(key)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("", "is empty"),
        ("a\0b", "NUL"),
        ("\ud800", "UTF-8"),
        ("k" * 1025, "1025 bytes"),
        ("\u00e9" * 513, "1026 bytes"),
        ("/a", "begins with a slash"),
        ("a/", "ends with a slash"),
        ("a//b", "//"),
        (".", "segment . or .."),
        ("a/../b", "segment . or .."),
        ("a/ ..", "segment . or .."),
        ("a\nb", "control"),
        ("a\x7f", "control"),
        ("\ufffe", "control"),
        ("a\\b", "backslash"),
        ("a/12345678901", "segment of over 10"),
    ],
)
def test_a_refusal_names_the_rule(key: str, reason: str) -> None:
    with pytest.raises(InvalidKeyError) as raised:
        STRICT.check(key)
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value.key)


@pytest.mark.parametrize("key", ["/", "//", "a//", ".", "..", "../x", "a\\..\\b", "\x01", "\n", " ", "k" * 1024])
def test_loose_rules_take_every_key_of_1024_bytes_without_nul(key: str) -> None:
    KeyRules().check(key)


def test_a_backslash_alone_is_no_matter_of_dots() -> None:
    KeyRules(dot_segments=False).check("back\\slash")


RULES: dict[str, tuple[object, tuple[str, ...], tuple[str, ...]]] = {
    "max_bytes": (3, ("abcd", "\u00e9\u00e9"), ("abc", "\u00e9a")),
    "max_segment_bytes": (3, ("a/abcd", "\u00e9\u00e9/a"), ("abc/abc/abc",)),
    "dot_segments": (False, (".", "..", "a/../b", "./a", "a/.", "a/ ./b", "..\\b"), ("...", "a./b", "..a", "a/ b")),
    "empty_segments": (False, ("a//b", "//a", "a//"), ("/a", "a/", "/", "a/b")),
    "leading_slash": (False, ("/a", "/", "//a"), ("a/", "a//b")),
    "control_characters": (False, ("a\x01", "\n", "a\x1f", "\x7f", "\ufffe", "\uffff"), (" ", "\x80", "\ue000")),
    "backslash": (False, ("\\", "a\\b"), ("a/b",)),
    "trailing_slash": (False, ("a/", "/", "a//"), ("/a", "a//b")),
    "trailing_dots": (False, ("a.", "a./b", "...", "a/."), (".a", "a.b/c")),
    "odd_code_points": (
        False,
        ("\x80", "\x9f", "\ue000", "\uf8ff", "\ufdd0", "\ufdef", "\ufffe", "\U0001ffff"),
        ("\x7f", "\xa0", "\uf900", "\ufdf0", "\ufffd", "\U000f0000"),
    ),
    "max_segments": (2, ("a/b/c", "a/b/", "//"), ("a/b", "/a", "a/")),
    "line_breaks": (False, ("a\rb", "\n"), ("a\tb", "\x7f", "\u2028")),
    "dot_keys": (False, (".", ".."), ("...", "./a", "a/..", "/.")),
    "slashes_alone": (False, ("/", "///"), ("/a", "a/", "//a//", "/ /")),
    "reserved_prefixes": (("kept/", "own-"), ("kept/", "kept/for/itself", "own-a"), ("kept", "x/kept/", "own")),
}
"""By field: what it is set to, keys that it refuses, keys that it takes."""


@pytest.mark.parametrize("field", [each.name for each in fields(KeyRules)])
def test_each_rule_refuses_what_it_names_and_nothing_else(field: str) -> None:
    value, refused, taken = RULES[field]
    rules = KeyRules(**{field: value})
    assert rules != KeyRules()
    for key in taken:
        rules.check(key)
    for key in refused:
        KeyRules().check(key)
        with pytest.raises(InvalidKeyError):
            rules.check(key)


@pytest.mark.parametrize("prefix", ["/", "a//", "..", "a\\"])
def test_a_prefix_may_stop_anywhere(prefix: str) -> None:
    STRICT.check_prefix(prefix)


@pytest.mark.parametrize("prefix", ["k" * 1025, "a\0", "\ud800"])
def test_a_prefix_that_no_key_begins_with_is_refused(prefix: str) -> None:
    with pytest.raises(InvalidKeyError):
        STRICT.check_prefix(prefix)


@given(TEXT)
def test_a_metadata_value_survives_its_encoding(value: str) -> None:
    encoded = encode_metadata_value(value)
    assert encoded.isascii()
    assert encoded.isprintable()
    assert encoded == encoded.strip()
    assert decode_metadata_value(encoded) == value


@pytest.mark.parametrize("value", ["100%", "%zz", "%e9", "a b", "%"])
def test_a_value_that_nobody_encoded_comes_back_as_it_is(value: str) -> None:
    assert decode_metadata_value(value) == value


def test_stray_bytes_in_a_value_come_back_as_text_that_can_be_sent_on() -> None:
    assert decode_metadata_value("a\udce9b") == "a\ufffdb"


def test_metadata_is_measured_as_it_is_sent() -> None:
    check_metadata({"n": "x" * 2047})
    with pytest.raises(InvalidMetadataError):
        check_metadata({"n": "x" * 2048})
    with pytest.raises(InvalidMetadataError):
        check_metadata({"n": "\u00e9" * 342})  # six characters each on the wire
    check_metadata({"n": "\u00e9" * 341})


@pytest.mark.parametrize(
    "metadata",
    [{"A": ""}, {"": ""}, {"a_b": ""}, {"a" * 65: ""}, {"a": "\r"}, {"a": "\x7f"}, {"a": "\ud800"}, {"a\n": "x"}],
)
def test_metadata_that_could_break_an_answer_is_refused(metadata: dict[str, str]) -> None:
    with pytest.raises(InvalidMetadataError):
        check_metadata(metadata)


@given(st.text())
def test_printable_is_printable_and_short(text: str) -> None:
    shown = printable(text, limit=20)
    assert shown.isprintable()
    assert len(shown) <= 20 * 10 + 3


def test_the_rules_that_refuse_are_named_and_no_length_is_among_them() -> None:
    assert KeyRules(max_bytes=10, max_segment_bytes=5, max_segments=3).refused() == ()
    rules = KeyRules(dot_segments=False, backslash=False, reserved_prefixes=("a/",))
    assert rules.refused() == ("backslash", "dot_segments", "reserved_prefixes")
