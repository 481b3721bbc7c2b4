"""A location gives each container name to one namespace."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stow.api.names import NameVerdict, is_container_name, is_name_pattern, judge_name, matches

STEADY = settings(deadline=None, derandomize=True, database=None)

TOKEN = "{namespace}"


@pytest.mark.parametrize(
    ("pattern", "name", "namespace", "fits"),
    [
        ("*", "anything", "team", True),
        ("*", "", "team", True),
        ("reports", "reports", "team", True),
        ("reports", "reports2", "team", False),
        ("reports", "report", "team", False),
        (f"{TOKEN}-*", "team-x", "team", True),
        (f"{TOKEN}-*", "team-", "team", True),
        (f"{TOKEN}-*", "team", "team", False),
        (f"{TOKEN}-*", "teamx-y", "team", False),
        (f"{TOKEN}-*", "x-team-y", "team", False),
        (f"*-{TOKEN}", "x-team", "team", True),
        (f"{TOKEN}-{TOKEN}", "a-a", "a", True),
        (f"{TOKEN}-{TOKEN}", "a-b", "a", False),
        ("a*b*c", "aXbXbc", "team", True),
        ("a*b*c", "acb", "team", False),
        ("a.c", "abc", "team", False),
        ("**", "x", "team", True),
        ("{name}-*", "x-y", "x", False),
        ("", "", "team", False),
        (f"{TOKEN}-*", "*-x", "*", False),
        (f"{TOKEN}-*", "team-x", "", False),
    ],
)
def test_a_pattern_fits_or_not(pattern: str, name: str, namespace: str, fits: bool) -> None:
    assert matches(pattern, name, namespace) is fits


@STEADY
@given(st.text("ab*", min_size=1, max_size=8), st.text("ab", max_size=12))
def test_a_star_is_any_run_of_characters(pattern: str, name: str) -> None:
    expected = re.fullmatch(re.sub(r"\*+", ".*", pattern), name) is not None

    assert matches(pattern, name, "team") is expected


def test_a_hostile_pattern_costs_nothing() -> None:
    """As a regular expression this one takes longer than the universe has lasted."""
    begin = time.process_time()

    assert not matches("*a" * 64, "a" * 62 + "b", "team")

    assert time.process_time() - begin < 0.5


@pytest.mark.parametrize(
    ("name", "namespace", "namespaces", "verdict"),
    [
        ("team-x", "team", [], NameVerdict.ALLOWED),
        ("team-x", "team", ["team", "other"], NameVerdict.ALLOWED),
        ("team-a-x", "team-a", ["team", "team-a"], NameVerdict.ALLOWED),
        ("team-a-x", "team", ["team", "team-a"], NameVerdict.LONGER_NAMESPACE),
        ("team-a-x", "team", ["team-a", "team"], NameVerdict.LONGER_NAMESPACE),
        ("team-a-x", "team", ["team"], NameVerdict.ALLOWED),
        ("team-a", "team", ["team", "team-a"], NameVerdict.ALLOWED),
        ("team-a-b-x", "team-a", ["team", "team-a", "team-a-b"], NameVerdict.LONGER_NAMESPACE),
        ("other-x", "team", ["team", "other"], NameVerdict.NO_MATCH),
    ],
)
def test_only_the_longest_namespace_may_use_a_name(
    name: str, namespace: str, namespaces: list[str], verdict: NameVerdict
) -> None:
    assert judge_name(f"{TOKEN}-*", name, namespace, namespaces=namespaces) == verdict


def test_a_name_that_fits_two_namespaces_alike_is_nobodys() -> None:
    pattern, both = f"*{TOKEN}*", ["prod", "team"]

    assert judge_name(pattern, "team-prod", "team", namespaces=both) == NameVerdict.AMBIGUOUS
    assert judge_name(pattern, "team-prod", "prod", namespaces=both) == NameVerdict.AMBIGUOUS


def test_a_longer_namespace_settles_what_two_shorter_ones_share() -> None:
    three = ["prod", "team", "team-prod"]

    assert judge_name(f"*{TOKEN}*", "team-prod", "team", namespaces=three) == NameVerdict.LONGER_NAMESPACE
    assert judge_name(f"*{TOKEN}*", "team-prod", "team-prod", namespaces=three) == NameVerdict.ALLOWED


def test_without_the_namespace_in_it_a_pattern_is_everybodys() -> None:
    assert judge_name("shared-*", "shared-x", "a", namespaces=["a", "bbbb"]) == NameVerdict.ALLOWED


@STEADY
@given(
    st.text("ab-", min_size=3, max_size=12),
    st.lists(st.from_regex(r"[ab]([ab-]{0,4}[ab])?", fullmatch=True), min_size=1, unique=True),
)
def test_no_name_belongs_to_two_namespaces(name: str, namespaces: list[str]) -> None:
    for pattern in (f"{TOKEN}-*", f"*-{TOKEN}", f"*{TOKEN}*"):
        verdicts = [judge_name(pattern, name, each, namespaces=namespaces) for each in namespaces]

        assert verdicts.count(NameVerdict.ALLOWED) <= 1


@pytest.mark.parametrize("name", ["abc", "a" * 63, "a-b", "a--b", "a.b.c", "1a2", "123", "1.2.3", "1.2.3.4.5"])
def test_a_portable_container_name(name: str) -> None:
    assert is_container_name(name)


@pytest.mark.parametrize(
    "name",
    ["", "ab", "a" * 64, "Abc", "a_b", "-abc", "abc-", ".abc", "abc.", "a..b", "a.-b", "a-.b", "1.2.3.4", "abc\n", "äbc",
     "a/b", "a b", "\u0663\u0663\u0663"],
)  # fmt: skip
def test_no_portable_container_name(name: str) -> None:
    assert not is_container_name(name)


@pytest.mark.parametrize("pattern", ["*", "a-*", TOKEN, f"x.{TOKEN}-*", "a" * 128])
def test_a_pattern(pattern: str) -> None:
    assert is_name_pattern(pattern)


@pytest.mark.parametrize(
    "pattern", ["", "A", "{name}", "{namespace", "namespace}", "a/b", "[a]", "a?", "*\n", "a" * 129]
)
def test_no_pattern(pattern: str) -> None:
    assert not is_name_pattern(pattern)
