"""Names: of metadata and tags as Azure takes them, of keys, containers, accounts and endpoints."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from drivers.azure.setup import KEY, stub_driver
from stow.drivers.azure.capabilities import KEYS, Dialect
from stow.drivers.azure.configuring import decode_tag, encode_tag
from stow.drivers.azure.containers import is_marker
from stow.drivers.azure.endpoint import Endpoint
from stow.drivers.azure.headers import decode_name, encode_name
from stow.drivers.azure.shared_key import string_to_sign
from stow.errors import InvalidContainerNameError, InvalidKeyError, InvalidSpecError
from stow.transport.wire import Prepared, Request

IDENTIFIER = r"[a-z_][a-z0-9_]*"


@given(st.from_regex(r"[a-z0-9-]{1,64}", fullmatch=True))
def test_every_metadata_name_comes_back_from_an_identifier(name: str) -> None:
    encoded = encode_name(name)
    assert encoded.isidentifier()
    assert encoded == encoded.lower()
    assert decode_name(encoded) == decode_name(encoded.upper()) == name


@given(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,63}", fullmatch=True))
def test_another_tools_metadata_name_is_kept_but_for_its_case(name: str) -> None:
    assert encode_name(decode_name(name)) == name.lower()


@pytest.mark.parametrize(
    ("name", "encoded"),
    [("a-b", "a_b"), ("1x", "_1x"), ("-x", "__x"), ("a--b", "a__b"), ("-", "__"), ("stow-nonce", "stow_nonce")],
)
def test_hyphens_and_digits_in_front(name: str, encoded: str) -> None:
    assert encode_name(name) == encoded


@pytest.mark.parametrize(("foreign", "shown"), [("hdi_isfolder", "hdi-isfolder"), ("_x", "_x"), ("Owner", "owner")])
def test_foreign_names_are_readable(foreign: str, shown: str) -> None:
    assert decode_name(foreign) == shown


@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=40))
def test_every_tag_comes_back_from_an_identifier(name: str) -> None:
    encoded = encode_tag(name)
    assert encoded.isascii()
    assert encoded.isidentifier()
    assert encoded == encoded.lower()
    assert not is_marker(encoded)
    assert decode_tag(encoded) == name


@pytest.mark.parametrize(
    ("name", "entry"), [("team", "team"), ("cost_center", "cost_center"), ("Team", "stowtag__54eam")]
)
def test_plain_tags_stand_under_their_own_name(name: str, entry: str) -> None:
    assert encode_tag(name) == entry
    assert decode_tag("Foreign_Name") == "Foreign_Name"


REFUSED = (
    "a.", "a/b.", "a./b", "..", ".", "a/../b", "x\\y", "\x01", "a\x7f", "a\ufffe", "a\ufdd0", "a\U0001ffff", "a\x81", "a\ue000",
    "a/" * 254 + "x", " ./x",
)  # fmt: skip
KEPT = ("a", "/a", "a//b", "a/", ".a", "a.b", "a/" * 253 + "x", "ü+%2e b?#", "大/\U0001f600", "\uff01")


@pytest.mark.parametrize("key", REFUSED)
def test_keys_that_azure_changes_or_cannot_list_are_refused(key: str) -> None:
    for rules in KEYS.values():
        with pytest.raises(InvalidKeyError):
            rules.check(key)


@pytest.mark.parametrize("key", KEPT)
def test_other_keys_are_kept(key: str) -> None:
    KEYS[Dialect.FLAT].check(key)


@pytest.mark.parametrize("key", ["a//b", "a/", "/a", "a/" * 60 + "x"])
def test_a_hierarchical_namespace_folds_more(key: str) -> None:
    with pytest.raises(InvalidKeyError):
        KEYS[Dialect.HIERARCHICAL].check(key)


@pytest.mark.parametrize(
    "name", ["a.b", "a--b", "ab", "-ab", "ab-", "A-b", "a_b", "a" * 64, "a-" * 31 + "aa", "abc\n", "$web"]
)
async def test_container_names_of_other_kinds_are_refused_before_any_request(name: str) -> None:
    driver = stub_driver("http://127.0.0.1:1/acct")
    for call in (driver.head(name, "k"), driver.create_container(name, None), driver.delete_container(name)):
        with pytest.raises(InvalidContainerNameError):
            await call
    await driver.aclose()


@pytest.mark.parametrize(
    ("endpoint", "identity"),
    [
        (None, "abfs://acct.blob.core.windows.net"),
        ("https://acct.blob.core.windows.net/", "abfs://acct.blob.core.windows.net"),
        ("https://ACCT.privatelink.blob.core.windows.net", "abfs://acct.blob.core.windows.net"),
        ("https://acct.z01.blob.storage.azure.net", "abfs://acct.blob.core.windows.net"),
        ("https://acct-secondary.blob.core.windows.net", "abfs://acct.blob.core.windows.net"),
        ("https://acct-microsoftrouting.blob.core.windows.net", "abfs://acct.blob.core.windows.net"),
        ("https://acct-internetrouting.privatelink.blob.core.windows.net:443", "abfs://acct.blob.core.windows.net"),
        ("https://acct.blob.core.chinacloudapi.cn", "abfs://acct.blob.core.chinacloudapi.cn"),
        ("https://blobs.example:8443", "abfs://blobs.example:8443"),
        ("http://127.0.0.1:10000/acct", "abfs://127.0.0.1:10000/acct"),
        ("http://[::1]:10000/acct/", "abfs://[::1]:10000/acct"),
    ],
)
def test_one_identity_for_all_doors_of_an_account(endpoint: str | None, identity: str) -> None:
    assert Endpoint.of(endpoint, account="acct").identity == identity


@pytest.mark.parametrize(
    ("endpoint", "account"),
    [
        ("https://other.blob.core.windows.net", "acct"),
        ("ftp://host", "acct"),
        ("https://host?sig=x", "acct"),
        ("https://user:password@host", "acct"),
        ("https://host/a b", "acct"),
        ("host", "acct"),
        (None, "Acct"),
        (None, "a"),
        (None, "acct.evil.example"),
        (None, "acct/"),
    ],
)
def test_malformed_endpoints_and_accounts_are_refused(endpoint: str | None, account: str) -> None:
    with pytest.raises(InvalidSpecError) as raised:
        Endpoint.of(endpoint, account=account)
    assert "password" not in str(raised.value)


def test_the_string_to_sign_of_the_reference() -> None:
    """The example of "Authorize with Shared Key": Get Container Metadata."""
    text = string_to_sign(
        "GET",
        account="myaccount",
        path="/mycontainer",
        query=[("restype", "container"), ("comp", "metadata"), ("timeout", "20")],
        headers={"x-ms-version": "2015-02-21", "x-ms-date": "Fri, 26 Jun 2015 23:39:12 GMT"},
    )
    assert text == (
        "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n"
        "/myaccount/mycontainer\ncomp:metadata\nrestype:container\ntimeout:20"
    )


def test_header_names_are_sorted_as_the_service_does() -> None:
    """An underscore before digits, digits before letters, a name before its longer one."""
    names = ["x-ms-meta-ab", "x-ms-meta-a1", "x-ms-meta-a_b", "x-ms-meta-a", "x-ms-meta-_1", "x-ms-date"]
    text = string_to_sign("PUT", account="a", path="/", query=[], headers=dict.fromkeys(names, "v"))
    assert [line.removesuffix(":v") for line in text.split("\n")[12:18]] == [
        "x-ms-date", "x-ms-meta-_1", "x-ms-meta-a", "x-ms-meta-a_b", "x-ms-meta-a1", "x-ms-meta-ab",
    ]  # fmt: skip


def test_secrets_do_not_show_in_a_repr() -> None:
    assert KEY.account_key not in repr(KEY)
    assert "canary" not in repr(Prepared(URL("https://host/?sig=canary"), {"authorization": "canary"}))
    assert "canary" not in repr(Request("PUT", headers={"x-ms-copy-source": "https://host/?sig=canary"}))
