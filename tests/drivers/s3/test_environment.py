"""Nothing in the process's environment changes what a driver with static credentials does."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES

from drivers.s3.setup import DEV_EGRESS, KEYS, PATIENT, body, content, stub_driver
from servers.stub import Seen, http, serve
from stow.drivers.s3.config import Ambient, Dialect, S3Config
from stow.drivers.s3.driver import S3Driver
from stow.drivers.s3.session import isolated_session
from stow.storage.clock import utc_now
from stow.storage.driver import SignRequest
from stow.storage.model import ContainerEntry, Method, Origin, WriteOptions

CANARY = "AKIACANARY"


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An environment that says something else in every way that the SDK knows. Its endpoint and proxy are a closed port."""
    config = tmp_path / "config"
    config.write_text(
        "[default]\nregion = mars-1\nendpoint_url = http://127.0.0.1:1\nca_bundle = /nonexistent\n"
        f"aws_access_key_id = {CANARY}\naws_secret_access_key = canary-secret\n"
        "s3 =\n  addressing_style = virtual\n  endpoint_url = http://127.0.0.1:1\n"
        "[profile evil]\nregion = mars-2\ncredential_process = touch " + str(tmp_path / "touched") + "\n"
    )
    models = tmp_path / ".aws" / "models" / "s3" / "2006-03-01"
    models.mkdir(parents=True)
    (models / "service-2.json").write_text("not json")
    settings = {
        "HOME": str(tmp_path),
        "AWS_CONFIG_FILE": str(config),
        "AWS_SHARED_CREDENTIALS_FILE": str(config),
        "AWS_PROFILE": "evil",
        "AWS_DEFAULT_PROFILE": "evil",
        "AWS_ACCESS_KEY_ID": CANARY,
        "AWS_SECRET_ACCESS_KEY": "canary-secret",
        "AWS_SESSION_TOKEN": "canary-token",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",
        "AWS_REGION": "mars-3",
        "AWS_DEFAULT_REGION": "mars-3",
        "AWS_CA_BUNDLE": "/nonexistent",
        "AWS_DATA_PATH": str(tmp_path / ".aws" / "models"),
        "AWS_USE_DUALSTACK_ENDPOINT": "true",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_supported",
        "AWS_MAX_ATTEMPTS": "9",
        "AWS_RETRY_MODE": "adaptive",
        "AWS_DEFAULTS_MODE": "auto",
    }
    for scheme in ("HTTP", "HTTPS", "ALL"):
        settings[f"{scheme}_PROXY"] = settings[f"{scheme.lower()}_proxy"] = "http://127.0.0.1:1"
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    return tmp_path


def _answer(seen: Seen) -> bytes:
    return http(body=b"data" if seen.method == "GET" else b"", etag='"e"')


async def _everything(endpoint: str, driver: S3Driver) -> str:
    await driver.container_exists("b-1")
    await driver.write("b-1", "k", body(b"data"), size_bytes=4, options=WriteOptions())
    await content(driver, "b-1", "k")
    await driver.delete("b-1", "k", if_match=None)
    now = utc_now()
    entry = ContainerEntry("b-1", "s3://b-1", Origin.BASE, now, "uid")
    signed = await driver.sign(SignRequest("b-1", "k", Method.GET, now, now + timedelta(minutes=5), entry))
    assert signed.url.startswith(endpoint + "/b-1/k?")
    return signed.url


async def test_static_credentials_look_at_nothing_in_the_environment(hostile: Path) -> None:
    async with serve(_answer) as stub:
        driver = stub_driver(stub.endpoint)
        url = await _everything(stub.endpoint, driver)
        await driver.aclose()
    assert [seen.method for seen in stub.requests] == ["HEAD", "PUT", "GET", "DELETE"]
    for seen in stub.requests:
        assert seen.target.startswith("/b-1")
        assert f"Credential={KEYS.access_key_id}/" in seen.headers["authorization"]
        assert "/us-east-1/s3/aws4_request" in seen.headers["authorization"]
        assert "x-amz-security-token" not in seen.headers
    assert KEYS.access_key_id in url
    assert CANARY not in url
    assert not (hostile / "touched").exists()


async def test_ambient_credentials_come_from_the_environments_keys_and_nothing_else_does(hostile: Path) -> None:
    async with serve(_answer) as stub:
        config = S3Config(
            Ambient(),
            endpoint=stub.endpoint,
            dialect=Dialect.AWS,
            egress=DEV_EGRESS,
            deadlines=PATIENT,
            region="eu-west-1",
        )
        driver = S3Driver(config, clock=utc_now)
        url = await _everything(stub.endpoint, driver)
        await driver.aclose()
    for seen in stub.requests:
        assert f"Credential={CANARY}/" in seen.headers["authorization"]
        assert "/eu-west-1/s3/" in seen.headers["authorization"]
        assert seen.headers["x-amz-security-token"] == "canary-token"
    assert CANARY in url
    assert not (hostile / "touched").exists()


def test_the_sdks_session_has_its_defaults_and_reads_no_file(hostile: Path) -> None:
    session = isolated_session(None)
    for name, (_, _, default, _) in BOTOCORE_DEFAUT_SESSION_VARIABLES.items():
        unset = name in {"config_file", "credentials_file", "profile", "s3", "proxies_config"}
        assert session.get_config_variable(name) == (None if unset else default), name
    assert not any(session.full_config.values())
    assert session.get_credentials() is None
    assert not [path for path in session.get_component("data_loader").search_paths if path.startswith(str(hostile))]
