"""XML and headers of a backend that may be hostile."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stow.drivers.s3.answers import decode_key, listing
from stow.drivers.s3.capabilities import TRAITS, dialect_of_host, dialect_of_server
from stow.drivers.s3.config import Dialect
from stow.drivers.s3.headers import attribute_headers, object_metadata
from stow.errors import BackendFailedError, InvalidArgumentError, InvalidKeyError, InvalidMetadataError
from stow.storage.model import ObjectAttributes
from stow.storage.names import KeyRules
from stow.transport.headers import content_range, quoted
from stow.transport.xml import error_code, parse

BOMB = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><Error><Code>&b;</Code></Error>"""
OUTSIDE = b"""<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><Error><Code>&f;</Code></Error>"""
BASE = {"content-length": "5", "etag": '"' + "0" * 32 + '"'}
AWS = TRAITS[Dialect.AWS]


@pytest.mark.parametrize(
    "body",
    [
        BOMB,
        OUTSIDE,
        BOMB.decode().encode("utf-16"),
        b"",
        b"<",
        b"<a>",
        b"<a></b>",
        b"\x00",
        b"<a>" * 20 + b"</a>" * 20,
        b"<a>&x;</a>",
    ],
)
def test_hostile_documents_are_refused(body: bytes) -> None:
    with pytest.raises(BackendFailedError):
        parse(body)
    assert error_code(body) is None


@given(st.binary(max_size=200))
def test_any_bytes_parse_or_are_refused(body: bytes) -> None:
    try:
        parse(body)
    except BackendFailedError:
        assert error_code(body) is None


@pytest.mark.parametrize("code", ["a b", "<b/>", "x" * 65, "", "é", "a\nb"])
def test_a_code_is_letters_and_digits_or_nothing(code: str) -> None:
    assert error_code(f"<Error><Code>{code}</Code></Error>".encode()) is None


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("a+b", "a b"),
        ("a%20b", "a b"),
        ("a%2Bb", "a+b"),
        ("a%252Bb", "a%2Bb"),
        ("%01", "\x01"),
        ("%C3%A9", "é"),
        ("~%7E", "~~"),
    ],
)
def test_listed_keys_are_decoded_exactly_once(text: str, key: str) -> None:
    assert decode_key(text) == key


@pytest.mark.parametrize(
    "body",
    [
        b"<Error><Code>X</Code></Error>",
        b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        b"<ListBucketResult><Contents><Key>a</Key><Size>many</Size></Contents></ListBucketResult>",
        b"<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>%FF</Key><Size>1</Size></Contents></ListBucketResult>",
    ],
)
def test_a_listing_that_makes_no_sense_is_no_empty_listing(body: bytes) -> None:
    with pytest.raises(BackendFailedError):
        listing(body)


@pytest.mark.parametrize(
    "headers",
    [
        {"etag": '"e"'},
        {"content-length": "5"},
        {"content-length": "-5", "etag": '"e"'},
        {"content-length": "\N{ARABIC-INDIC DIGIT FIVE}", "etag": '"e"'},
        {"content-length": "5", "etag": '""'},
    ],
)
def test_an_answer_without_length_or_etag_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(BackendFailedError):
        object_metadata(headers, AWS)


@pytest.mark.parametrize(
    ("dialect", "headers", "expected"),
    [
        (Dialect.AWS, {}, bytes(16)),
        (Dialect.MINIO, {}, bytes(16)),
        (Dialect.GENERIC, {}, None),
        (Dialect.AWS, {"etag": '"' + "0" * 32 + '-2"'}, None),
        (Dialect.AWS, {"x-amz-server-side-encryption": "AES256"}, bytes(16)),
        (Dialect.AWS, {"x-amz-server-side-encryption": "aws:kms"}, None),
        (Dialect.AWS, {"x-amz-server-side-encryption-customer-algorithm": "AES256"}, None),
    ],
)
def test_an_etag_is_an_md5_only_where_that_is_documented(
    dialect: Dialect, headers: dict[str, str], expected: bytes | None
) -> None:
    assert object_metadata(BASE | headers, TRAITS[dialect]).md5 == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-amz-checksum-crc32c": "mnG7TA=="}, bytes.fromhex("9a71bb4c")),
        ({"x-amz-checksum-crc32c": "mnG7TA==", "x-amz-checksum-type": "FULL_OBJECT"}, bytes.fromhex("9a71bb4c")),
        ({"x-amz-checksum-crc32c": "mnG7TA==", "x-amz-checksum-type": "COMPOSITE"}, None),
        ({"x-amz-checksum-crc32c": "mnG7TA==-2"}, None),
        ({"x-amz-checksum-crc32c": "nonsense"}, None),
        ({"x-amz-checksum-crc32c": "AAAA"}, None),
        ({}, None),
    ],
)
def test_a_checksum_is_taken_only_of_the_whole_object(headers: dict[str, str], expected: bytes | None) -> None:
    assert object_metadata(BASE | headers, AWS).crc32c == expected


def test_poisoned_headers_come_back_without_what_nobody_can_send_on() -> None:
    poisoned = BASE | {
        "content-type": "text/\x01plain\udcff",
        "x-amz-meta-a": "b\x07%zz%FF",
        "X-Amz-Meta-B": "%C3%A9",
        "x-amz-meta-stow-nonce": "n",
        "content-encoding": "gzip,aws-chunked",
    }
    attributes = object_metadata(poisoned, AWS).attributes
    assert attributes.content_type == "text/plain\N{REPLACEMENT CHARACTER}"
    assert attributes.metadata == {"a": "b%zz%FF", "b": "é"}
    assert attributes.content_encoding == "gzip"
    str(attributes).encode()


@pytest.mark.parametrize("value", ["a\r\nx-amz-acl: public-read", "a\x00", "\x7f"])
def test_no_attribute_injects_a_header(value: str) -> None:
    for attributes in (ObjectAttributes(content_type=value), ObjectAttributes(content_disposition=value)):
        with pytest.raises(InvalidArgumentError):
            attribute_headers(attributes, None)
    with pytest.raises(InvalidArgumentError):
        quoted(value)
    with pytest.raises(InvalidArgumentError):
        quoted('a"b')


def test_the_nonces_name_is_reserved_and_gives_way_to_full_metadata() -> None:
    with pytest.raises(InvalidMetadataError):
        attribute_headers(ObjectAttributes(metadata={"stow-nonce": "x"}), "n")
    full = ObjectAttributes(metadata={"a": "x" * 2047})
    assert "x-amz-meta-stow-nonce" not in attribute_headers(full, "n")
    assert attribute_headers(ObjectAttributes(), "n") == {"x-amz-meta-stow-nonce": "n"}


def test_the_nonce_gives_way_where_its_prefix_counts() -> None:
    """A backend that counts the prefix of each name would refuse metadata that fits without the nonce."""
    room = len("stow-nonce" + "n") + 2 * 11
    fits = ObjectAttributes(metadata={"a": "x" * (2047 - room)})
    full = ObjectAttributes(metadata={"a": "x" * (2048 - room)})
    assert "x-amz-meta-stow-nonce" in attribute_headers(fits, "n", overhead_bytes=11)
    assert "x-amz-meta-stow-nonce" not in attribute_headers(full, "n", overhead_bytes=11)


@pytest.mark.parametrize("text", ["", "bytes */5", "bytes 1-2", "bytes a-b/c", "items 0-1/2"])
def test_a_malformed_content_range_is_refused(text: str) -> None:
    with pytest.raises(BackendFailedError):
        content_range({"content-range": text})


def test_every_dialect_but_auto_has_its_traits_and_generic_is_the_least() -> None:
    assert set(TRAITS) == set(Dialect) - {Dialect.AUTO}
    least = TRAITS[Dialect.GENERIC].capabilities
    for dialect, traits in TRAITS.items():
        found = traits.capabilities
        assert found.dialect == dialect
        for ability in (
            "create_once",
            "write_if_match",
            "delete_if_match",
            "markers",
            "content_md5",
            "server_side_copy",
        ):
            assert getattr(found, ability) >= getattr(least, ability)
        for rule in fields(KeyRules):
            mine, its = getattr(found.keys, rule.name), getattr(least.keys, rule.name)
            assert mine >= its if isinstance(mine, bool) else mine is None or mine == its, rule.name
        assert found.metadata_overhead_bytes <= least.metadata_overhead_bytes
        assert (found.integrity == "crc32c") == traits.checksums


@pytest.mark.parametrize(
    ("server", "dialect"),
    [
        ("MinIO", Dialect.MINIO),
        ("AmazonS3", Dialect.AWS),
        ("VERSITYGW", Dialect.VERSITYGW),
        ("nginx", Dialect.GENERIC),
        ("", Dialect.GENERIC),
    ],
)
def test_the_server_header_tells_the_dialect(server: str, dialect: Dialect) -> None:
    assert dialect_of_server(server) is dialect


def test_the_host_tells_some_dialects() -> None:
    assert dialect_of_host("s3.eu-west-1.amazonaws.com", aws=True) is Dialect.AWS
    assert dialect_of_host("id.r2.cloudflarestorage.com", aws=False) is Dialect.R2
    assert dialect_of_host("minio.example", aws=False) is None


@pytest.mark.parametrize(("said", "key"), [("<EncodingType>url</EncodingType>", "a b/%"), ("", "a+b/%25")])
def test_keys_are_decoded_where_the_answer_says_that_they_are_encoded(said: str, key: str) -> None:
    """versitygw takes no notice of encoding-type: decoded, its key would be another one."""
    item = "<Contents><Key>a+b/%25</Key><Size>1</Size><ETag>e</ETag></Contents><CommonPrefixes><Prefix>a+b/%25</Prefix></CommonPrefixes>"
    page = listing(f"<ListBucketResult>{said}{item}</ListBucketResult>".encode())
    assert [found.key for found in page.objects] == [key]
    assert page.prefixes == (key,)


def test_versitygw_takes_no_key_of_a_folder() -> None:
    """It answers 400 where such a key has data; without data it makes a folder of its disk."""
    rules = TRAITS[Dialect.VERSITYGW].capabilities.keys
    rules.check("a/b")
    with pytest.raises(InvalidKeyError, match="ends with a slash"):
        rules.check("a/")
