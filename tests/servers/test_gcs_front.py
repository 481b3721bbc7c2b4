"""fake-gcs-server behind the front that verifies for Google."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import io
import json
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from yarl import URL

from servers.fake_gcs import FakeGcsServer
from servers.gcs_front import GcsFront, running_front
from servers.goog4 import canonical_query, string_to_sign
from servers.google_identity import GRANT_TYPE, TOKEN_URL, ServiceAccount, make_account
from stow.dev.certificates import Authority, now

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
METADATA = {"Metadata-Flavor": "Google"}
SERVICE_ACCOUNT = "/computeMetadata/v1/instance/service-accounts/default"


@pytest.fixture
def front(gcs_front: GcsFront) -> GcsFront:
    """Its clock stands still."""
    gcs_front.clock = lambda: NOW
    return gcs_front


@pytest.fixture
async def bucket(http: aiohttp.ClientSession, fake_gcs: FakeGcsServer, unique_name: Callable[[str], str]) -> str:
    name = unique_name("bucket")
    async with http.post(f"{fake_gcs.endpoint}/storage/v1/b?project=p", json={"name": name}) as answer:
        assert answer.status == 200
    return name


def auth(front: GcsFront, account: ServiceAccount | None = None) -> dict[str, str]:
    return {"Authorization": f"Bearer {front.identities.issue((account or front.account).email)}"}


def assertion(
    account: ServiceAccount, audience: str, *, signer: ServiceAccount | None = None, **changes: object
) -> str:
    claims = {
        "iss": account.email,
        "aud": audience,
        "scope": "https://www.googleapis.com/auth/devstorage.full_control",
        "iat": NOW.timestamp(),
        "exp": NOW.timestamp() + 3600,
        **changes,
    }
    header = {"alg": "RS256", "typ": "JWT", "kid": account.key_id}
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    signature = (signer or account).sign(b".".join(parts))
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


def signed(
    front: GcsFront,
    method: str,
    path: str,
    *,
    account: ServiceAccount | None = None,
    key_of: ServiceAccount | None = None,
    expires_s: int = 60,
    **headers: str,
) -> URL:
    account = account or front.account
    headers = {"host": front.authority, **headers}
    date = NOW.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{date[:8]}/auto/storage/goog4_request"
    query = canonical_query(
        {
            "X-Goog-Algorithm": "GOOG4-RSA-SHA256",
            "X-Goog-Credential": f"{account.email}/{scope}",
            "X-Goog-Date": date,
            "X-Goog-Expires": str(expires_s),
            "X-Goog-SignedHeaders": ";".join(sorted(headers)),
        }.items()
    )
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    payload = headers.get("x-goog-content-sha256", "UNSIGNED-PAYLOAD")
    request = "\n".join((method, path, query, lines, ";".join(sorted(headers)), payload))
    signature = (key_of or account).sign(string_to_sign(date, scope, request).encode())
    return URL(f"{front.endpoint}{path}?{query}&X-Goog-Signature={signature.hex()}", encoded=True)


async def error_of(answer: aiohttp.ClientResponse) -> str:
    """The name that the XML API gives to an error."""
    text = await answer.text()
    assert "<Error><Code>" in text, text
    return text.partition("<Code>")[2].partition("</Code>")[0]


async def test_an_object_is_kept_and_listed_with_a_bearer_token(
    http: aiohttp.ClientSession, front: GcsFront, bucket: str
) -> None:
    headers = auth(front)
    upload = f"{front.endpoint}/upload/storage/v1/b/{bucket}/o?uploadType=media&name=json"
    async with http.post(upload, headers=headers, data=b"by json") as answer:
        assert answer.status == 200
    async with http.put(f"{front.endpoint}/{bucket}/xml", headers=headers, data=b"by xml") as answer:
        assert answer.status == 200

    async with http.get(f"{front.endpoint}/storage/v1/b/{bucket}/o", headers=headers) as answer:
        assert [entry["name"] for entry in (await answer.json())["items"]] == ["json", "xml"]
    async with http.get(f"{front.endpoint}/{bucket}/json", headers=headers) as answer:
        assert await answer.read() == b"by json"
    async with http.head(f"{front.endpoint}/{bucket}/xml", headers=headers) as answer:
        assert (answer.status, answer.headers["Content-Length"]) == (200, "6")


async def test_keys_pass_as_they_are_written(http: aiohttp.ClientSession, front: GcsFront, bucket: str) -> None:
    headers = auth(front)
    keys = ["a//b", "../up", "%2F", "é ?#&+", "x/"]
    for key in keys:
        async with http.put(signed(front, "PUT", f"/{bucket}/{quote(key)}"), data=key.encode()) as answer:
            assert answer.status == 200, key
        async with http.get(URL(f"{front.endpoint}/{bucket}/{quote(key)}", encoded=True), headers=headers) as answer:
            assert await answer.read() == key.encode()

    async with http.get(f"{front.endpoint}/storage/v1/b/{bucket}/o", headers=headers) as answer:
        listed = {entry["name"] for entry in (await answer.json())["items"]}
    assert listed == set(keys)
    assert front.requests[0].target.startswith(f"/{bucket}/a//b?X-Goog-Algorithm=")


async def test_large_bodies_arrive_whole(http: aiohttp.ClientSession, front: GcsFront, bucket: str) -> None:
    body = bytes(range(256)) * 40_000  # 10 MB: far above what is buffered anywhere

    async with http.put(signed(front, "PUT", f"/{bucket}/large"), data=io.BytesIO(body)) as answer:
        assert answer.status == 200
    async with http.get(signed(front, "GET", f"/{bucket}/large")) as answer:
        assert hashlib.sha256(await answer.read()).digest() == hashlib.sha256(body).digest()


async def test_a_waiting_client_is_told_to_go_on(http: aiohttp.ClientSession, front: GcsFront, bucket: str) -> None:
    async with http.put(signed(front, "PUT", f"/{bucket}/a"), data=b"x", expect100=True) as answer:
        assert answer.status == 200


async def test_gzip_is_opaque(http: aiohttp.ClientSession, front: GcsFront, bucket: str) -> None:
    packed = gzip.compress(b"content")
    url = f"{front.endpoint}/upload/storage/v1/b/{bucket}/o?uploadType=media&name=a&contentEncoding=gzip"
    async with http.post(url, headers=auth(front), data=packed) as answer:
        assert answer.status == 200
    async with http.get(f"{front.endpoint}/{bucket}/a", headers={**auth(front), "Accept-Encoding": "gzip"}) as answer:
        assert await answer.read() == packed


async def test_an_upload_that_is_cut_leaves_nothing(http: aiohttp.ClientSession, front: GcsFront, bucket: str) -> None:
    url = signed(front, "PUT", f"/{bucket}/cut")
    reader, writer = await asyncio.open_connection("127.0.0.1", URL(front.endpoint).port)
    head = f"PUT {url.raw_path_qs} HTTP/1.1\r\nHost: {front.authority}\r\nContent-Length: 10\r\n\r\n"
    writer.write(head.encode() + b"123456789")
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    assert len(front.requests) == 1
    await front.drained()

    async with http.get(f"{front.endpoint}/storage/v1/b/{bucket}/o", headers=auth(front)) as answer:
        assert "items" not in await answer.json()


async def test_a_resumable_upload_goes_through_the_front(
    http: aiohttp.ClientSession, front: GcsFront, bucket: str
) -> None:
    url = f"{front.endpoint}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&name=a"
    async with http.post(url, headers=auth(front)) as answer:
        session = answer.headers["Location"]
    assert session.startswith(front.endpoint)

    async with http.put(session, data=b"content") as answer:  # the URI is its own credential
        assert answer.status == 200
    async with http.put(session.replace("upload_id=", "upload_id=x"), data=b"content") as answer:
        assert answer.status == 401
    async with http.get(f"{front.endpoint}/{bucket}/a", headers=auth(front)) as answer:
        assert await answer.read() == b"content"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_a_signed_url_works_for_its_method_alone(
    http: aiohttp.ClientSession, front: GcsFront, bucket: str, method: str
) -> None:
    async with http.put(signed(front, "PUT", f"/{bucket}/a"), data=b"1") as answer:
        assert answer.status == 200
    url = signed(front, method, f"/{bucket}/a")

    for other in {"GET", "HEAD", "PUT", "DELETE", "POST"} - {method}:
        async with http.request(other, url) as answer:
            assert answer.status == 403, other
    async with http.request(method, url, data=b"1" if method == "PUT" else None) as answer:
        assert answer.status == 200


async def test_a_signed_url_is_bound_to_key_query_headers_and_signer(
    http: aiohttp.ClientSession, front: GcsFront, bucket: str
) -> None:
    path = f"/{bucket}/a"
    url = str(signed(front, "PUT", path, **{"content-type": "text/plain"}))
    plain = {"Content-Type": "text/plain"}
    forged = signed(front, "PUT", path, key_of=front.denied_account, **{"content-type": "text/plain"})
    cases: list[tuple[str, dict[str, str], str]] = [
        (url.replace(path, f"/{bucket}/b"), plain, "SignatureDoesNotMatch"),
        (url + "&a=b", plain, "SignatureDoesNotMatch"),
        (url[:-1] + ("1" if url[-1] == "0" else "0"), plain, "SignatureDoesNotMatch"),
        (url, {"Content-Type": "text/html"}, "SignatureDoesNotMatch"),
        (url, {}, "MalformedSecurityHeader"),
        (url, {**plain, "X-Goog-Acl": "public-read"}, "AccessDenied"),
        (str(forged), plain, "SignatureDoesNotMatch"),
        (str(signed(front, "PUT", path, account=make_account("stranger"))), {}, "InvalidSecurity"),
        (str(signed(front, "PUT", path, account=front.denied_account)), {}, "AccessDenied"),
    ]

    for case, headers, code in cases:
        async with http.put(URL(case, encoded=True), headers=headers, data=b"1") as answer:
            assert (answer.status // 100, await error_of(answer)) == (4, code), case
    async with http.put(URL(url, encoded=True), headers=plain, data=b"1") as answer:
        assert answer.status == 200


async def test_a_signed_url_ends_to_the_second(http: aiohttp.ClientSession, front: GcsFront, bucket: str) -> None:
    url = signed(front, "PUT", f"/{bucket}/a", expires_s=2)
    for after_s in (0, 2):
        front.clock = lambda after_s=after_s: NOW + timedelta(seconds=after_s)  # type: ignore[misc]
        async with http.put(url, data=b"1") as answer:
            assert answer.status == 200

    front.clock = lambda: NOW + timedelta(seconds=2.001)
    async with http.put(url, data=b"1") as answer:
        assert (answer.status, await error_of(answer)) == (400, "ExpiredToken")


async def test_a_body_that_is_not_the_signed_one_is_not_stored(
    http: aiohttp.ClientSession, front: GcsFront, bucket: str
) -> None:
    bound = {"x-goog-content-sha256": hashlib.sha256(b"content").hexdigest()}
    url = signed(front, "PUT", f"/{bucket}/a", **bound)

    for wrong in (b"c0ntent", b"content!", b""):
        async with http.put(url, headers=bound, data=wrong) as answer:
            assert (answer.status, await error_of(answer)) == (400, "BadDigest")
        async with http.get(f"{front.endpoint}/{bucket}/a", headers=auth(front)) as answer:
            assert answer.status == 404
    async with http.put(url, headers=bound, data=b"content") as answer:
        assert answer.status == 200


@pytest.mark.parametrize("path", ["/storage/v1/b", "/storage/v1/b/{}/o", "/{}/a", "/{}", "/upload/storage/v1/b/{}/o"])
async def test_strangers_and_users_without_rights_are_refused_and_told_apart(
    http: aiohttp.ClientSession, front: GcsFront, bucket: str, path: str
) -> None:
    given: list[tuple[dict[str, str], int]] = [
        ({}, 401),
        ({"Authorization": "Bearer ya29.unknown"}, 401),
        ({"Authorization": "Basic dTpw"}, 401),
        (auth(front, front.denied_account), 403),
    ]
    for headers, status in given:
        async with http.get(f"{front.endpoint}{path.format(bucket)}", headers=headers) as answer:
            assert answer.status == status
            assert ("WWW-Authenticate" in answer.headers) is (status == 401)


async def test_errors_are_json_in_the_json_api(http: aiohttp.ClientSession, front: GcsFront, bucket: str) -> None:
    async with http.get(f"{front.endpoint}/storage/v1/b/{bucket}") as answer:
        error = (await answer.json())["error"]
    assert (error["code"], error["errors"][0]["reason"]) == (401, "required")


async def test_a_public_bucket_is_read_and_listed_by_all_and_written_by_none(
    http: aiohttp.ClientSession, front: GcsFront, bucket: str
) -> None:
    async with http.put(signed(front, "PUT", f"/{bucket}/a"), data=b"1") as answer:
        assert answer.status == 200
    front.public_buckets.add(bucket)
    api = f"/storage/v1/b/{bucket}"

    for path, status in ((f"/{bucket}/a", 200), (f"{api}/o", 200), (f"{api}/o/a?alt=media", 200), (api, 401)):
        async with http.get(front.endpoint + path) as answer:
            assert answer.status == status, path
    async with http.put(f"{front.endpoint}/{bucket}/a", data=b"2") as answer:
        assert answer.status == 401
    async with http.delete(f"{front.endpoint}{api}/o/a") as answer:
        assert answer.status == 401


async def test_links_in_answers_do_not_lead_round_the_front(
    http: aiohttp.ClientSession, front: GcsFront, bucket: str, fake_gcs: FakeGcsServer
) -> None:
    upload = f"{front.endpoint}/upload/storage/v1/b/{bucket}/o?uploadType=media&name=a"
    async with http.post(upload, headers=auth(front), data=fake_gcs.endpoint.encode()) as answer:
        described = await answer.json()

    assert described["mediaLink"].startswith(front.endpoint)
    assert described["selfLink"].startswith(front.endpoint)
    async with http.get(described["mediaLink"], headers=auth(front)) as answer:
        assert await answer.text() == fake_gcs.endpoint  # content is content, whatever it says
    async with http.get(f"{front.endpoint}/storage/v1/b/{bucket}/o/a?alt=media", headers=auth(front)) as answer:
        assert await answer.text() == fake_gcs.endpoint
    async with http.get(f"{front.endpoint}/storage/v1/b/{bucket}/o", headers=auth(front)) as answer:
        assert fake_gcs.endpoint not in await answer.text()


async def test_the_emulators_own_switches_are_out_of_reach(http: aiohttp.ClientSession, front: GcsFront) -> None:
    async with http.post(f"{front.endpoint}/_internal/delete_all", headers=auth(front)) as answer:
        assert answer.status == 404


async def ask_token(http: aiohttp.ClientSession, front: GcsFront, text: str, grant_type: str = GRANT_TYPE) -> Any:
    async with http.post(front.token_url, data={"grant_type": grant_type, "assertion": text}) as answer:
        return answer.status, await answer.json()


@pytest.mark.parametrize("audience", ["own", TOKEN_URL])
async def test_a_signed_assertion_becomes_a_token_that_lives_as_long_as_it_says(
    http: aiohttp.ClientSession, front: GcsFront, bucket: str, audience: str
) -> None:
    front.identities.token_life_s = 2
    url = front.token_url if audience == "own" else audience

    status, answer = await ask_token(http, front, assertion(front.account, url))

    assert (status, answer["expires_in"], answer["token_type"]) == (200, 2, "Bearer")
    headers = {"Authorization": f"Bearer {answer['access_token']}"}
    for after_s, expected in ((1.999, 200), (2, 401)):
        front.clock = lambda after_s=after_s: NOW + timedelta(seconds=after_s)  # type: ignore[misc]
        async with http.get(f"{front.endpoint}/storage/v1/b/{bucket}", headers=headers) as found:
            assert found.status == expected
    assert (front.counts["token"], front.counts["storage"]) == (1, 2)


async def test_bad_assertions_are_refused(http: aiohttp.ClientSession, front: GcsFront) -> None:
    account, url = front.account, front.token_url
    good = assertion(account, url)
    cases = {
        "invalid_grant": [
            "",
            "a.b.c",
            good.rpartition(".")[0],
            good.rpartition(".")[0] + ".",
            assertion(account, url, signer=front.denied_account),
            assertion(make_account("stranger"), url),
            assertion(account, "https://elsewhere.example/token"),
            assertion(account, url, exp=NOW.timestamp()),
            assertion(account, url, exp=NOW.timestamp() + 3601),
            assertion(account, url, iat=NOW.timestamp() + 301),
            assertion(account, url, iat="now"),
        ],
        "invalid_scope": [assertion(account, url, scope=" ")],
    }

    for error, texts in cases.items():
        for text in texts:
            status, answer = await ask_token(http, front, text)
            assert (status, answer["error"]) == (400, error), text
    assert (await ask_token(http, front, good, "password"))[1]["error"] == "unsupported_grant_type"
    async with http.get(front.token_url) as got:
        assert got.status == 400


async def test_revoked_tokens_are_unknown(http: aiohttp.ClientSession, front: GcsFront, bucket: str) -> None:
    headers = auth(front)
    front.identities.revoke_all()

    async with http.get(f"{front.endpoint}/storage/v1/b/{bucket}", headers=headers) as answer:
        assert answer.status == 401


async def test_sign_blob_signs_with_the_accounts_key(http: aiohttp.ClientSession, front: GcsFront) -> None:
    url = f"{front.endpoint}/v1/projects/-/serviceAccounts/{quote(front.account.email, safe='')}:signBlob"
    body = {"payload": base64.b64encode(b"text").decode()}

    async with http.post(url, headers=auth(front), json=body) as answer:
        given = await answer.json()
    signature = base64.b64decode(given["signedBlob"])
    front.account.key.public_key().verify(signature, b"text", PKCS1v15(), hashes.SHA256())
    assert given["keyId"] == front.account.key_id

    stranger = url.replace(quote(front.account.email, safe=""), "stranger")
    cases: list[tuple[str, dict[str, str], dict[str, str], int]] = [
        (url, {}, body, 401),
        (url, {"Authorization": "Bearer ya29.unknown"}, body, 401),
        (url, auth(front, front.denied_account), body, 403),
        (stranger, auth(front), body, 403),
        (url, auth(front), {}, 400),
        (url, auth(front), {"payload": "*"}, 400),
    ]
    for target, headers, sent, status in cases:
        async with http.post(target, headers=headers, json=sent) as answer:
            assert answer.status == status
    assert front.counts["sign_blob"] == 1 + len(cases)


async def test_the_metadata_server_gives_tokens_that_work(
    http: aiohttp.ClientSession, front: GcsFront, bucket: str
) -> None:
    front.identities.token_life_s = 7

    async with http.get(f"{front.endpoint}{SERVICE_ACCOUNT}/token", headers=METADATA) as answer:
        given = await answer.json()
        assert answer.headers["Metadata-Flavor"] == "Google"
    assert given["expires_in"] == 7
    headers = {"Authorization": f"Bearer {given['access_token']}"}
    async with http.get(f"{front.endpoint}/storage/v1/b/{bucket}", headers=headers) as answer:
        assert answer.status == 200
    assert front.counts["metadata:instance/service-accounts/default/token"] == 1


async def test_the_metadata_server_names_account_and_universe(http: aiohttp.ClientSession, front: GcsFront) -> None:
    async def get(path: str, **headers: str) -> tuple[int, str]:
        async with http.get(f"{front.endpoint}{path}", headers=headers) as answer:
            assert answer.headers["Metadata-Flavor"] == "Google"
            return answer.status, await answer.text()

    assert await get("/") == (200, "computeMetadata/\n")
    assert await get(f"{SERVICE_ACCOUNT}/email", **METADATA) == (200, front.account.email)
    assert await get("/computeMetadata/v1/universe/universe-domain", **METADATA) == (200, "googleapis.com")
    status, text = await get(f"{SERVICE_ACCOUNT}/?recursive=true", **METADATA)
    assert (status, json.loads(text)["email"]) == (200, front.account.email)
    assert (await get(f"{SERVICE_ACCOUNT}/email"))[0] == 403
    assert (await get(f"{SERVICE_ACCOUNT}/email", **METADATA, **{"X-Forwarded-For": "192.0.2.1"}))[0] == 403
    front.google.metadata_account = None
    assert (await get(f"{SERVICE_ACCOUNT}/token", **METADATA))[0] == 404


async def test_a_front_may_speak_tls(
    http: aiohttp.ClientSession, fake_gcs: FakeGcsServer, bucket: str, tmp_path: Path
) -> None:
    authority = Authority(tmp_path, now=now())
    pair = authority.issue_server("front")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate_path, pair.key_path)
    trusting = ssl.create_default_context(cafile=str(authority.path))

    async with running_front(fake_gcs.endpoint, ssl_context=context) as front:
        url = f"{front.endpoint}/storage/v1/b/{bucket}"
        async with http.get(url, headers=auth(front), ssl=trusting) as answer:
            assert (answer.status, (await answer.json())["name"]) == (200, bucket)
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await http.get(url, headers=auth(front))


def test_keys_and_tokens_are_not_shown(front: GcsFront) -> None:
    assert "PRIVATE" not in repr(front.account)
    assert json.loads(front.account.credentials_json())["client_email"] == front.account.email
    assert urlsplit(front.endpoint).hostname == "127.0.0.1"
