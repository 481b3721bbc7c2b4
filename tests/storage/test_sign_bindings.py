"""What a signed URL may be asked to bind: all that cannot be bound is refused before the driver is asked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stow.drivers.memory import MemoryDriver
from stow.errors import InvalidArgumentError, UnsupportedError
from stow.storage.clock import utc_now
from stow.storage.model import Method, ResponseOverride, SignBinding, SignedURLProperties
from stow.storage.signing import BINDABLE, MAX_HEADERS, check_bindings, check_method

EVERYTHING = replace(MemoryDriver(clock=utc_now).capabilities, sign_binds=frozenset(SignBinding))
NOTHING = replace(EVERYTHING, sign_binds=frozenset())
GET, PUT, DELETE = (SignedURLProperties(method) for method in (Method.GET, Method.PUT, Method.DELETE))
ASKED = {
    SignBinding.CONTENT_MD5: replace(PUT, content_md5=bytes(16)),
    SignBinding.CONTENT_TYPE: replace(PUT, content_type="text/plain"),
    SignBinding.MAX_SIZE: replace(PUT, max_size_bytes=0),
    SignBinding.HEADERS: replace(DELETE, headers={"if-match": "x"}),
    SignBinding.RESPONSE_OVERRIDES: replace(GET, response_overrides={ResponseOverride.CONTENT_TYPE: "text/plain"}),
}


@pytest.mark.parametrize("binding", SignBinding)
def test_a_binding_is_asked_of_a_backend_that_declares_it_alone(binding: SignBinding) -> None:
    check_bindings(ASKED[binding], replace(NOTHING, sign_binds=frozenset({binding})))
    with pytest.raises(UnsupportedError, match=binding):
        check_bindings(ASKED[binding], replace(EVERYTHING, sign_binds=frozenset(SignBinding) - {binding}))


def test_without_bindings_nothing_is_asked_of_the_backend() -> None:
    for method in Method:
        check_bindings(SignedURLProperties(method), NOTHING)


@pytest.mark.parametrize("method", [Method.GET, Method.HEAD, Method.DELETE])
@pytest.mark.parametrize("binding", [SignBinding.CONTENT_MD5, SignBinding.CONTENT_TYPE, SignBinding.MAX_SIZE])
def test_only_a_put_has_a_body_to_bind(method: Method, binding: SignBinding) -> None:
    with pytest.raises(InvalidArgumentError, match=binding):
        check_bindings(replace(ASKED[binding], scope=method), EVERYTHING)


@pytest.mark.parametrize("method", [Method.PUT, Method.DELETE])
def test_only_a_get_or_head_has_an_answer_to_override(method: Method) -> None:
    with pytest.raises(InvalidArgumentError, match="response overrides"):
        check_bindings(replace(ASKED[SignBinding.RESPONSE_OVERRIDES], scope=method), EVERYTHING)


@pytest.mark.parametrize("name", [*sorted(BINDABLE), "x-amz-meta-a", "x-goog-meta-a-b", "x-ms-meta-a_b"])
def test_harmless_headers_can_be_bound(name: str) -> None:
    check_bindings(replace(PUT, headers={name: "v"}), EVERYTHING)


@pytest.mark.parametrize(
    "name",
    [
        "x-amz-copy-source",  # would read any object that the location's credentials reach
        "x-amz-acl",
        "x-amz-security-token",
        "x-amz-meta-",
        "x-goog-acl",
        "x-goog-copy-source",
        "x-ms-copy-source",
        "x-copy-from",
        "x-object-manifest",
        "authorization",
        "host",
        "content-type",
        "content-md5",
        "content-length",
        "Range",
        "a b",
        "",
        "x\r\ny",
    ],
)
def test_headers_that_mean_something_else_to_a_backend_are_never_bound(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="cannot be bound"):
        check_bindings(replace(PUT, headers={name: "v"}), EVERYTHING)


@pytest.mark.parametrize("value", ["", "a\r\nb", "\x7f", "é", "x" * 1025])
def test_a_value_that_could_not_stand_in_a_header_is_refused(value: str) -> None:
    with pytest.raises(InvalidArgumentError, match="printable ASCII"):
        check_bindings(replace(PUT, headers={"range": value}), EVERYTHING)
    with pytest.raises(InvalidArgumentError, match="printable ASCII"):
        check_bindings(replace(GET, response_overrides={ResponseOverride.CACHE_CONTROL: value}), EVERYTHING)


def test_headers_are_few() -> None:
    names = [f"x-amz-meta-{n}" for n in range(MAX_HEADERS + 1)]
    check_bindings(replace(PUT, headers=dict.fromkeys(names[1:], "v")), EVERYTHING)
    with pytest.raises(InvalidArgumentError, match=str(MAX_HEADERS)):
        check_bindings(replace(PUT, headers=dict.fromkeys(names, "v")), EVERYTHING)


@pytest.mark.parametrize(
    ("able", "allowed", "said"),
    [
        ("", "GET HEAD", "No URL can be signed here"),
        ("GET PUT", "GET HEAD", "This backend signs GET, PUT, not HEAD"),
        ("GET HEAD", "GET PUT", "This location signs GET, not HEAD: its spec.signedURL.methods"),
        ("HEAD", "PUT", "This location signs nothing, not HEAD"),
    ],
)
def test_a_method_that_cannot_be_signed_is_told_apart_from_one_that_may_not(able: str, allowed: str, said: str) -> None:
    capabilities = replace(EVERYTHING, sign_methods=frozenset(map(Method, able.split())))
    with pytest.raises(UnsupportedError, match=said):
        check_method(Method.HEAD, frozenset(map(Method, allowed.split())), capabilities)


def test_a_method_that_is_able_and_allowed_is_signed() -> None:
    check_method(Method.GET, frozenset({Method.GET}), replace(EVERYTHING, sign_methods=frozenset({Method.GET})))
