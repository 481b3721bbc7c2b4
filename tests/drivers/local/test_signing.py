"""Signed URLs of local locations. Pure: real HMAC, a clock that the test sets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stow.errors import AccessDeniedError, CredentialsInvalidError, InvalidArgumentError, SignedURLExpiredError
from stow.storage.driver import SignRequest
from stow.storage.local_signing import (
    Grant,
    HMACLocalSigner,
    Keyring,
    SigningKey,
    canonical,
    parse,
    sign_url,
    signature,
    verify,
)
from stow.storage.model import ContainerEntry, Method, Origin, SignedURL

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
OLD = SigningKey("k1", b"1" * 32, NOW - 24 * HOUR)
KEY = SigningKey("k2", b"2" * 32, NOW - HOUR)
ROUTE = "namespaces/team/containers/box"
ENTRY = ContainerEntry("box", "file://box", Origin.DECLARED, NOW, "uid-1", namespace="team", resource="box")


def signed(
    key: str = "a/b", *, method: Method = Method.GET, keyring: Keyring | None = None, **more: object
) -> SignedURL:
    signer = HMACLocalSigner(
        "https://stow.example/base/", lambda: keyring or Keyring(KEY), route_of=lambda _: ROUTE, clock=lambda: NOW
    )
    request = SignRequest("box", key, method, NOW, NOW + HOUR, ENTRY)
    return signer.sign(replace(request, **more))  # type: ignore[arg-type]  # fields of SignRequest


def check(
    url: str,
    *,
    method: str = "GET",
    keyring: Keyring | None = None,
    uid: str = "uid-1",
    md5: str | None = None,
    content_type: str | None = None,
    now: datetime = NOW,
) -> Grant:
    parts = urlsplit(url)
    return verify(
        parse(parts.path.removeprefix("/base"), parts.query),
        keyring=keyring or Keyring(KEY),
        method=method,
        container_uid=uid,
        content_md5=md5,
        content_type=content_type,
        now=now,
    )


@pytest.mark.parametrize(
    "key",
    [
        "a//b",
        "/a",
        "a/",
        "..",
        ".",
        "a/../b",
        "%2e",
        "a+b",
        "a b",
        "a&b=c",
        "?#",
        "\u00e9",
        "\U0001f600",
        "\n",
        "x" * 1024,
    ],
)
def test_a_signed_url_grants_its_exact_key(key: str) -> None:
    grant = check(signed(key).url)
    assert (grant.key, grant.method, grant.route) == (key, Method.GET, ROUTE)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50))
def test_any_key_survives_the_url(key: str) -> None:
    url = signed(key).url
    assert url.isascii()
    assert check(url).key == key


def test_clients_that_rewrite_spaces_and_slashes_in_a_query_still_get_in() -> None:
    url = signed("a b/c+d").url
    assert check(url.replace("%20", "+").replace("%2F", "/")).key == "a b/c+d"


PUT = signed(
    "a/b", method=Method.PUT, content_md5=b"m" * 16, content_type="text/plain; charset=utf-8", max_size_bytes=10
)
MD5 = "bW1tbW1tbW1tbW1tbW1tbQ=="
TYPE = "text/plain; charset=utf-8"


def test_a_put_grants_size_and_headers() -> None:
    grant = check(PUT.url, method="PUT", md5=MD5, content_type=TYPE)
    assert grant.max_size_bytes == 10
    assert PUT.required_headers == {"Content-MD5": MD5, "Content-Type": TYPE}


@pytest.mark.parametrize(
    "alter",
    [
        lambda url: url.replace("key=a%2Fb", "key=a%2Fc"),
        lambda url: url.replace("method=PUT", "method=GET"),
        lambda url: url.replace("method=PUT", "method=put"),
        lambda url: url.replace("max=10", "max=11"),
        lambda url: url.replace("max=10&", ""),
        lambda url: url.replace("max=10", "max=010"),
        lambda url: url.replace("exp=17", "exp=18"),
        lambda url: url.replace("exp=17", "exp=%2B17"),
        lambda url: url.replace("exp=17", "exp=1e"),
        lambda url: url.replace("exp=17", "exp=99999917"),
        lambda url: url.replace("kid=k2", "kid=k3"),
        lambda url: url.replace("kid=k2", "kid="),
        lambda url: url.replace("md5=b", "md5=c"),
        lambda url: url.replace("ctype=text", "ctype=html"),
        lambda url: url.replace("namespaces/team", "namespaces/other"),
        lambda url: url.replace("containers/box", "containers/%62ox"),
        lambda url: url.replace("/object?", "/objects?"),
        lambda url: url.replace("/v1/signed/", "/v1//signed/"),
        lambda url: url + "&key=a%2Fb",
        lambda url: url + "&x=1",
        lambda url: url + "&",
        lambda url: url.replace("key=a%2Fb", "key=%ff"),
        lambda url: url.replace("key=a%2Fb", "key=%zz"),
        lambda url: url.replace("key=a%2Fb", "key="),
        lambda url: url.replace("sig=", "sig=A"),
        lambda url: url[:-1] + ("A" if url[-1] != "A" else "B"),
        lambda url: url[: url.index("&sig=")],
        lambda url: url[: url.index("&sig=")] + "&sig=",
        lambda url: url + "=",
        lambda url: url + "&max=" + "1" * 9000,
    ],
)
def test_each_altered_part_of_a_url_is_refused_alike(alter: Callable[[str], str]) -> None:
    altered = alter(PUT.url)
    assert altered != PUT.url
    with pytest.raises(AccessDeniedError) as caught:
        check(altered, method="PUT", md5=MD5, content_type=TYPE)
    assert not isinstance(caught.value, SignedURLExpiredError)
    assert caught.value.message == "The signed URL does not allow this request; ask for a new one."


@pytest.mark.parametrize(
    "request_",
    [
        {"method": "GET"},
        {"method": "HEAD"},
        {"method": "put"},
        {"uid": "uid-2"},
        {"md5": None},
        {"md5": MD5 + " "},
        {"content_type": None},
        {"content_type": "text/plain"},
        {"keyring": Keyring(replace(KEY, secret=b"3" * 32))},
        {"keyring": Keyring(OLD)},
    ],
)
def test_each_request_that_was_not_signed_is_refused_alike(request_: dict[str, object]) -> None:
    given: dict[str, object] = {"method": "PUT", "md5": MD5, "content_type": TYPE} | request_
    with pytest.raises(AccessDeniedError) as caught:
        check(PUT.url, **given)  # type: ignore[arg-type]  # a table of different arguments
    assert caught.value.message == "The signed URL does not allow this request; ask for a new one."


def test_a_get_url_serves_no_head() -> None:
    with pytest.raises(AccessDeniedError):
        check(signed().url, method="HEAD")


def test_a_url_ends_at_its_second_and_only_a_genuine_one_says_so() -> None:
    url = signed().url
    check(url, now=NOW + HOUR - timedelta(microseconds=1))
    with pytest.raises(SignedURLExpiredError):
        check(url, now=NOW + HOUR)
    with pytest.raises(AccessDeniedError) as caught:
        check(url.replace("key=a", "key=b"), now=NOW + HOUR)
    assert not isinstance(caught.value, SignedURLExpiredError)


def test_the_stated_expiry_is_whole_and_never_later_than_asked() -> None:
    asked = NOW + timedelta(seconds=9, microseconds=999_999)
    answer = signed(expires_at=asked)
    assert answer.expires_at == NOW + timedelta(seconds=9)
    with pytest.raises(InvalidArgumentError):
        signed(expires_at=NOW + timedelta(microseconds=999_999))


def test_the_previous_key_verifies_until_its_last_url_has_expired() -> None:
    url = signed(keyring=Keyring(OLD)).url
    keyring = Keyring(OLD).rotated(KEY)
    assert check(url, keyring=keyring).key == "a/b"
    assert check(signed(keyring=keyring).url, keyring=Keyring(KEY)).key == "a/b"
    last = KEY.created_at + HOUR
    assert keyring.pruned(last - timedelta(seconds=1), max_ttl=HOUR) == keyring
    assert keyring.pruned(last, max_ttl=HOUR) == Keyring(KEY)


def test_pruning_goes_by_the_successor_of_each_key() -> None:
    third = SigningKey("k3", b"3" * 32, NOW)
    keyring = Keyring(OLD).rotated(KEY).rotated(third)
    assert keyring.pruned(NOW + timedelta(minutes=1), max_ttl=HOUR) == Keyring(third, (KEY,))


def test_no_two_grants_share_their_signed_bytes() -> None:
    base = Grant("r/a", "b", Method.PUT, NOW, "k")
    grants = [
        base,
        replace(base, route="r/ab", key=""),
        replace(base, max_size_bytes=0),
        replace(base, content_md5=""),
        replace(base, content_type=""),
        replace(base, content_md5="x"),
        replace(base, content_type="x"),
        replace(base, method=Method.GET),
        replace(base, kid="kk"),
        replace(base, expires_at=NOW + timedelta(seconds=1)),
    ]
    assert len({canonical(grant, container_uid="u") for grant in grants}) == len(grants)
    assert canonical(base, container_uid="u") != canonical(base, container_uid="uu")


def test_secrets_and_urls_show_in_no_representation() -> None:
    answer = signed()
    shown = repr(
        [KEY, Keyring(KEY), answer, parse(urlsplit(answer.url).path.removeprefix("/base"), urlsplit(answer.url).query)]
    )
    assert "2222" not in shown
    assert signature(KEY, check(answer.url), container_uid="uid-1") not in shown


@pytest.mark.parametrize("base", ["ftp://h", "//h", "https://", "https://h/?q", "https://h/#f", "https://u@h/", "h"])
def test_a_base_that_is_no_plain_url_is_refused(base: str) -> None:
    with pytest.raises(InvalidArgumentError):
        sign_url(base, Grant(ROUTE, "k", Method.GET, NOW, "k2"), key=KEY, container_uid="u")


@pytest.mark.parametrize("route", ["", "a", "a//b", "/a/b", "a/b/", "a/b?c", "a/b c", quote("a/\u00e9")])
def test_a_route_that_does_not_stand_as_it_is_is_refused(route: str) -> None:
    with pytest.raises(InvalidArgumentError):
        sign_url("https://h", Grant(route, "k", Method.GET, NOW, "k2"), key=KEY, container_uid="u")


def test_weak_and_doubled_keys_are_refused() -> None:
    with pytest.raises(CredentialsInvalidError):
        SigningKey("k", b"short", NOW)
    with pytest.raises(CredentialsInvalidError):
        SigningKey("a b", b"x" * 32, NOW)
    with pytest.raises(CredentialsInvalidError):
        Keyring(KEY, (KEY,))
