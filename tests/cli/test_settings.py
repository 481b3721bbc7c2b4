"""Every option of a server reaches its field of Settings, with the value of the right type."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import click
import pytest

from stow.cli.main import main
from stow.cli.servers import Duration, Listen
from stow.cli.settings import Settings

OF_THE_POD = {"pod_name", "pod_uid", "crash_at"}
"""From the environment: no options."""
GIVEN = {
    "kubeconfig": (["--kubeconfig", "/k"], Path("/k")),
    "system_namespace": (["--system-namespace", "sys"], "sys"),
    "namespaces": (["--watch-namespace", "a", "--watch-namespace", "b"], ("a", "b")),
    "local_root": (["--local-root", "/r"], Path("/r")),
    "public_url": (["--public-url", "https://o"], "https://o"),
    "egress_allow": (["--egress-allow", "10.0.0.0/8"], ("10.0.0.0/8",)),
    "egress_deny": (["--egress-deny", "10.1.0.0/16"], ("10.1.0.0/16",)),
    "namespaced_ambient_credentials": (["--namespaced-ambient-credentials"], True),
    "cluster_ambient_credentials": (["--no-cluster-ambient-credentials"], False),
    "secret_poll_interval": (["--secret-poll-interval", "1m"], timedelta(minutes=1)),
    "log_format": (["--log-format", "text"], "text"),
    "log_level": (["--log-level", "debug"], "debug"),
    "listen": (["--listen", "[::1]:99"], ("::1", 99)),
    "installation_id": (["--installation-id", "me"], "me"),
    "workers": (["--workers", "3"], 3),
    "namespace_deletion_grace": (["--namespace-deletion-grace", "90s"], timedelta(seconds=90)),
    "audience": (["--audience", "mine"], "mine"),
    "max_concurrent_requests": (["--max-concurrent-requests", "7"], 7),
    "shutdown_grace": (["--shutdown-grace", "1h30m"], timedelta(hours=1, minutes=30)),
}


def options(server: str) -> set[str]:
    return {str(each.name) for each in main.commands[server].params if isinstance(each, click.Option)}


def settings(server: str, arguments: list[str]) -> Settings:
    return Settings.of(main.commands[server].make_context(server, arguments).params)


def test_every_field_is_an_option_of_a_server_and_every_option_a_field() -> None:
    assert options("operator") | options("gateway") == {each.name for each in fields(Settings)} - OF_THE_POD
    assert GIVEN.keys() == options("operator") | options("gateway")


@pytest.mark.parametrize("server", ["operator", "gateway"])
def test_what_an_option_says_arrives_in_its_field(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    mine = {name: given for name, given in GIVEN.items() if name in options(server)}
    plain = settings(server, [])

    told = settings(server, [word for words, _ in mine.values() for word in words])

    for name, (_, value) in mine.items():
        assert getattr(told, name) == value, name
        assert getattr(plain, name) != value, name


def test_the_pods_own_names_come_from_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POD_NAME", "stow-gateway-1")
    monkeypatch.setenv("POD_UID", "u-1")

    made = settings("gateway", [])

    assert (made.pod_name, made.pod_uid, made.crash_at) == ("stow-gateway-1", "u-1", None)


def test_an_option_that_no_field_takes_is_a_mistake_of_the_program() -> None:
    with pytest.raises(TypeError, match="options without a setting: colour"):
        Settings.of({"colour": "red"})


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        (":8080", ("0.0.0.0", 8080)),
        ("[::]:1", ("::", 1)),
        ("host:65535", ("host", 65535)),
    ],
)
def test_an_address_to_listen_on(text: str, address: tuple[str, int]) -> None:
    assert Listen().convert(text, None, None) == address


@pytest.mark.parametrize("text", ["", "8080", "host:", "host:x", "host:65536", "host:-1"])
def test_what_is_no_address_is_wrong_use(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not host:port"):
        Listen().convert(text, None, None)


@pytest.mark.parametrize("text", ["", "15", "1.5h", "-1s", "soon", "1d", "99999999h"])
def test_what_is_no_duration_is_wrong_use(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no duration; write for example 90s, 15m or 1h30m"):
        Duration().convert(text, None, None)
