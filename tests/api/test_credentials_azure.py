"""An account key, a SAS token or a client's secret; what names endpoints, files and authorities is refused."""

from __future__ import annotations

import base64

import pytest

from stow.api.credentials.azure import (
    AZURE_KEYS,
    AzureAccountKey,
    AzureClientSecret,
    AzureSASToken,
    azure_secret,
)
from stow.api.credentials.keys import CredentialsProblem
from stow.api.reasons import Reason

CANARY = "CANARYsecretVALUE"
KEY = base64.b64encode(CANARY.encode() * 4).decode()
SAS = f"sv=2024-11-04&ss=b&srt=sco&sp=rl&se=2030-01-01T00%3A00%3A00Z&sig={CANARY}%2B%3D"
ID = "01234567-89ab-cdef-0123-456789abcdef"
CLIENT = {"AZURE_TENANT_ID": ID, "AZURE_CLIENT_ID": ID, "AZURE_CLIENT_SECRET": CANARY}


def secret(**values: str) -> dict[str, bytes | None]:
    return {key: value.encode() for key, value in values.items()}


def problem(data: dict[str, bytes | None]) -> CredentialsProblem:
    with pytest.raises(CredentialsProblem) as raised:
        azure_secret(data, account="acme")
    assert CANARY not in raised.value.message
    assert raised.value.__context__ is None
    return raised.value


@pytest.mark.parametrize("account", [{}, {"AZURE_STORAGE_ACCOUNT": "acme"}])
@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"AZURE_STORAGE_KEY": KEY}, AzureAccountKey(KEY)),
        ({"AZURE_STORAGE_SAS_TOKEN": SAS}, AzureSASToken(SAS)),
        ({"AZURE_STORAGE_SAS_TOKEN": f"?{SAS}"}, AzureSASToken(SAS)),
        (CLIENT, AzureClientSecret(ID, ID, CANARY)),
        ({**CLIENT, "AZURE_TENANT_ID": "acme.onmicrosoft.com"}, AzureClientSecret("acme.onmicrosoft.com", ID, CANARY)),
    ],
)
def test_each_set_of_keys_is_taken(account: dict[str, str], values: dict[str, str], found: object) -> None:
    taken = azure_secret(secret(**values, **account), account="acme")

    assert taken == found
    assert CANARY not in repr(taken)


@pytest.mark.parametrize(
    "key",
    [
        "AZURE_STORAGE_CONNECTION_STRING", "AZURE_AUTHORITY_HOST", "AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_USERNAME",
        "AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_CERTIFICATE_PASSWORD", "AZURE_CONFIG_DIR", "AZURE_POD_IDENTITY_AUTHORITY_HOST",
        "azure_storage_key", "AZURE_STORAGE_ENDPOINT", "AWS_ROLE_ARN", "GOOGLE_APPLICATION_CREDENTIALS", "config", "token_url",
    ],
)  # fmt: skip
@pytest.mark.parametrize("beside", [False, True])
def test_what_leads_elsewhere_is_an_unsupported_type(key: str, beside: bool) -> None:
    found = problem(secret(**({"AZURE_STORAGE_KEY": KEY} if beside else {}), **{key: CANARY}))

    assert found.reason is Reason.UNSUPPORTED_CREDENTIAL_TYPE
    assert f"the key {key}," in found.message


WRONG: dict[str, tuple[dict[str, str], str]] = {
    "nothing": ({}, "holds no credentials; it needs AZURE_STORAGE_KEY, or AZURE_STORAGE_SAS_TOKEN, or AZURE_TENANT_ID and"),
    "account alone": ({"AZURE_STORAGE_ACCOUNT": "acme"}, "holds no credentials"),
    "unknown key": ({"AZURE_STORAGE_KEY": KEY, "password": CANARY}, "the key password, which is not known"),
    "two sets": ({"AZURE_STORAGE_KEY": KEY, "AZURE_STORAGE_SAS_TOKEN": SAS}, "more than one kind of credentials"),
    "key and client": ({"AZURE_STORAGE_KEY": KEY, **CLIENT}, "more than one kind of credentials"),
    "half a client": ({"AZURE_TENANT_ID": ID, "AZURE_CLIENT_SECRET": CANARY}, "lacks the key AZURE_CLIENT_ID"),
    "another account": ({"AZURE_STORAGE_KEY": KEY, "AZURE_STORAGE_ACCOUNT": CANARY}, "AZURE_STORAGE_ACCOUNT is not the account"),
    "key is no base64": ({"AZURE_STORAGE_KEY": f"{CANARY}!"}, "AZURE_STORAGE_KEY is no account key"),
    "key is short": ({"AZURE_STORAGE_KEY": "YQ=="}, "AZURE_STORAGE_KEY is no account key"),
    "key with a line break": ({"AZURE_STORAGE_KEY": f"{KEY}\n"}, "AZURE_STORAGE_KEY ends with a line break"),
    "key in two lines": ({"AZURE_STORAGE_KEY": f"{KEY[:8]}\n{KEY[8:]}"}, "AZURE_STORAGE_KEY is no account key"),
    "key is a connection string": ({"AZURE_STORAGE_KEY": f"AccountName=a;AccountKey={KEY}"}, "is no account key"),
    "sas with a URL": ({"AZURE_STORAGE_SAS_TOKEN": f"https://acme.blob.core.windows.net/?{SAS}"}, "is no SAS token"),
    "sas with a fragment": ({"AZURE_STORAGE_SAS_TOKEN": f"{SAS}#x"}, "is no SAS token"),
    "sas with a space": ({"AZURE_STORAGE_SAS_TOKEN": f"{SAS} "}, "is no SAS token"),
    "sas without a signature": ({"AZURE_STORAGE_SAS_TOKEN": "sv=1&sp=r"}, "lacks sv or sig"),
    "sas with two signatures": ({"AZURE_STORAGE_SAS_TOKEN": f"{SAS}&sig=x"}, "holds a parameter twice"),
    "tenant with a path": ({**CLIENT, "AZURE_TENANT_ID": f"{ID}/../x"}, "AZURE_TENANT_ID is neither an ID nor a domain"),
    "tenant of dots": ({**CLIENT, "AZURE_TENANT_ID": ".."}, "AZURE_TENANT_ID is neither an ID nor a domain"),
    "client": ({**CLIENT, "AZURE_CLIENT_ID": "stow"}, "AZURE_CLIENT_ID is no ID of an application"),
    "client secret": ({**CLIENT, "AZURE_CLIENT_SECRET": f"{CANARY}\nx"}, "AZURE_CLIENT_SECRET holds white space"),
}  # fmt: skip


@pytest.mark.parametrize(("values", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_secret_is_refused_by_its_keys(values: dict[str, str], message: str) -> None:
    found = problem(secret(**values))

    assert found.reason is Reason.CREDENTIALS_INVALID
    assert message in found.message


@pytest.mark.parametrize("key", AZURE_KEYS.values)
@pytest.mark.parametrize(
    ("value", "fault"), [(None, "is not base64"), (b"", "is empty"), (b"\xff", "is not UTF-8"), (b"a" * 5000, "longer")]
)
def test_every_value_is_bounded_text(key: str, value: bytes | None, fault: str) -> None:
    whole: dict[str, bytes | None] = {}
    for keys in ({"AZURE_STORAGE_KEY": KEY}, {"AZURE_STORAGE_SAS_TOKEN": SAS}, CLIENT):
        if key in keys or (key == "AZURE_STORAGE_ACCOUNT" and not whole):
            whole = secret(**keys)

    assert fault in problem(whole | {key: value}).message
