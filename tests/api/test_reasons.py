"""Reasons are documented, and each says whether it needs a person."""

import re

import pytest

from stow.api.reasons import CONDITIONS, REASONS, ConditionType, Reason, needs_person


def test_every_reason_and_condition_is_documented() -> None:
    assert set(REASONS) == set(Reason)
    assert set(CONDITIONS) == set(ConditionType)
    lines = [*CONDITIONS.values(), *(info.description for info in REASONS.values())]
    assert [line for line in lines if not line.endswith(".") or "\n" in line] == []


def test_every_reason_is_one_word_that_the_schema_takes() -> None:
    assert [each for each in Reason if not re.fullmatch(r"[A-Z][A-Za-z]*", each)] == []


def test_every_condition_has_a_reason_and_every_reason_a_condition() -> None:
    assert {type_ for info in REASONS.values() for type_ in info.conditions} == set(ConditionType)
    assert [each for each, info in REASONS.items() if not info.conditions] == []


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_that_needs_a_person_is_one_of_stalled(reason: Reason) -> None:
    assert needs_person(reason) == (ConditionType.STALLED in REASONS[reason].conditions)


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_is_never_in_progress_and_stalled(reason: Reason) -> None:
    assert not {ConditionType.STALLED, ConditionType.RECONCILING} <= set(REASONS[reason].conditions)


@pytest.mark.parametrize(
    "reason",
    [Reason.ALREADY_EXISTS, Reason.CONFLICT, Reason.NAME_NOT_ALLOWED, Reason.VANISHED, Reason.LOCATION_CHANGED],
)
def test_what_needs_a_person_is_stalled(reason: Reason) -> None:
    assert needs_person(reason)


@pytest.mark.parametrize(
    "reason", [Reason.UNREACHABLE, Reason.DENIED, Reason.CREDENTIALS_MISSING, Reason.LOCATION_NOT_FOUND]
)
def test_what_somebody_else_may_repair_is_tried_again(reason: Reason) -> None:
    assert not needs_person(reason)
