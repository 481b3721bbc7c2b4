"""Every error of the tree has a reason, and every reason is used as it is documented."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stow import errors
from stow.api.reasons import REASONS, ConditionType, needs_person
from stow.errors import StowError
from stow.reconcile.outcome import Stalled, Waiting
from stow.reconcile.reasons import BLOCKS_DELETION, BY_ERROR, blocked_by, outcome_of, reason_of


def _tree(root: type[StowError]) -> Iterator[type[StowError]]:
    yield root
    for each in root.__subclasses__():
        yield from _tree(each)


def _make(kind: type[StowError]) -> StowError:
    error = kind.__new__(kind)
    StowError.__init__(error, "what is wrong")
    return error


ERRORS = sorted(set(_tree(StowError)), key=lambda each: each.__name__)


@pytest.mark.parametrize("kind", ERRORS, ids=lambda each: each.__name__)
def test_every_error_ends_a_reconcile_with_a_documented_reason(kind: type[StowError]) -> None:
    outcome = outcome_of(_make(kind))
    info = REASONS[outcome.reason]
    assert isinstance(outcome, Stalled if needs_person(outcome.reason) else Waiting)
    assert outcome.message == "what is wrong"
    assert info.conditions


@pytest.mark.parametrize("kind", ERRORS, ids=lambda each: each.__name__)
def test_every_error_can_block_a_deletion_with_a_reason_made_for_it(kind: type[StowError]) -> None:
    assert ConditionType.DELETION_BLOCKED in REASONS[blocked_by(_make(kind))].conditions


@pytest.mark.parametrize("kind", [each for each in ERRORS if issubclass(each, errors.CredentialsError)])
def test_credentials_errors_have_reasons_of_the_credentials_condition(kind: type[StowError]) -> None:
    assert ConditionType.CREDENTIALS_VALID in REASONS[reason_of(_make(kind))].conditions


@pytest.mark.parametrize("kind", [each for each in ERRORS if issubclass(each, errors.BackendError)])
def test_backend_errors_have_reasons_of_the_reachable_condition(kind: type[StowError]) -> None:
    assert ConditionType.REACHABLE in REASONS[reason_of(_make(kind))].conditions


def test_the_table_names_only_errors_of_the_tree() -> None:
    assert set(BY_ERROR) <= set(ERRORS)
    assert all(ConditionType.DELETION_BLOCKED in REASONS[each].conditions for each in BLOCKS_DELETION)


def test_what_cannot_be_said_is_never_absent() -> None:
    silent = [each for each in ERRORS if issubclass(each, errors.BackendError | errors.CredentialsError)]
    absent = {"ContainerNotFound", "Vanished", "BaseContainerNotFound"}
    assert not {reason_of(_make(each)).value for each in silent} & absent
