"""Endpoints taken apart: what every kind accepts and refuses, and that two spellings of one place are one."""

from __future__ import annotations

import pytest

from stow.transport.urls import Parts, encode_key, parts_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://S3.Example.", Parts("https", "s3.example", 443, "")),
        ("https://s3.example:443/", Parts("https", "s3.example", 443, "")),
        ("http://s3.example", Parts("http", "s3.example", 80, "")),
        ("http://[::1]:9000/v1/a/", Parts("http", "[::1]", 9000, "/v1/a")),
        ("https://bücher.example", Parts("https", "xn--bcher-kva.example", 443, "")),
    ],
)
def test_an_endpoint_has_a_scheme_a_host_a_port_and_perhaps_a_path(text: str, expected: Parts) -> None:
    assert parts_of(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s3.example",
        "ftp://s3.example",
        "https://",
        "https://user@s3.example",
        "https://user:canary@s3.example",
        "https://s3.example?x=1",
        "https://s3.example#x",
        "https://s3.example /",
        "https://s3.example\r\n",
        "https://s3.example:port",
        "https://s3.example:99999",
        "https://[::1",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each driver says it in its own words
        parts_of(text)


def test_a_port_is_written_where_it_is_not_the_schemes_own() -> None:
    assert parts_of("https://h:443").origin == "https://h"
    assert parts_of("http://h:443").origin == "http://h:443"


def test_a_key_is_encoded_once_and_its_slashes_stay() -> None:
    assert encode_key("/a//b/../%2e ~ü") == "/a//b/../%252e%20~%C3%BC"
