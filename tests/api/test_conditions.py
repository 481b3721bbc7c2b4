"""Conditions are what kstatus, kubectl wait, Flux and Argo CD understand."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stow.api.conditions import (
    MAX_MESSAGE_LENGTH,
    Condition,
    Wanted,
    conditions_from_status,
    find_condition,
    format_time,
    is_true,
    merge_conditions,
    parse_time,
    suspended_ready,
)
from stow.api.reasons import ABNORMAL_CONDITIONS, ConditionType, Reason

STEADY = settings(deadline=None, derandomize=True, database=None)

T0 = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
T1 = T0 + timedelta(minutes=5)

READY = Wanted(ConditionType.READY, "True", Reason.PROVISIONED)
NOT_READY = Wanted(ConditionType.READY, "False", Reason.VANISHED, "gone")
STALLED = Wanted(ConditionType.STALLED, "True", Reason.VANISHED)
RECONCILING = Wanted(ConditionType.RECONCILING, "True", Reason.PROGRESSING)
REACHABLE = Wanted(ConditionType.REACHABLE, "True", Reason.SUCCEEDED)


def types(conditions: tuple[Condition, ...]) -> list[str]:
    return [each.type for each in conditions]


def test_the_time_stays_while_the_status_stays() -> None:
    before = merge_conditions((), [READY], generation=1, now=T0)

    after = merge_conditions(
        before, [Wanted(ConditionType.READY, "True", Reason.SUSPENDED, "new words")], generation=2, now=T1
    )

    assert after == (Condition("Ready", "True", "Suspended", "new words", 2, T0),)


def test_the_time_moves_with_the_status() -> None:
    before = merge_conditions((), [READY], generation=1, now=T0)

    assert merge_conditions(before, [NOT_READY], generation=1, now=T1)[0].last_transition_time == T1


def test_a_merge_that_changes_nothing_yields_what_was_there() -> None:
    before = merge_conditions((), [STALLED, NOT_READY, REACHABLE], generation=3, now=T0)

    assert merge_conditions(before, [REACHABLE, NOT_READY, STALLED], generation=3, now=T1) == before


def test_an_unchanged_merge_survives_the_way_through_the_api_server() -> None:
    before = merge_conditions((), [READY, REACHABLE], generation=3, now=T0.replace(microsecond=123456))

    stored = conditions_from_status([each.to_dict() for each in before])

    assert merge_conditions(stored, [READY, REACHABLE], generation=3, now=T1) == before


@pytest.mark.parametrize("type_", sorted(ABNORMAL_CONDITIONS))
@pytest.mark.parametrize("status", ["False", "Unknown"])
def test_an_abnormal_condition_never_stands_untrue(type_: ConditionType, status: str) -> None:
    before = merge_conditions((), [READY, Wanted(type_, "True", Reason.PROGRESSING)], generation=1, now=T0)

    after = merge_conditions(before, [Wanted(type_, status, Reason.PROGRESSING)], generation=1, now=T1)  # type: ignore[arg-type]  # a table of literals

    assert types(after) == ["Ready"]


def test_an_abnormal_condition_goes_when_nobody_wants_it() -> None:
    before = merge_conditions((), [NOT_READY, STALLED], generation=1, now=T0)

    assert types(merge_conditions(before, [READY], generation=1, now=T1)) == ["Ready"]


def test_other_conditions_stay_with_the_generation_they_were_seen_for() -> None:
    before = merge_conditions((), [READY, REACHABLE], generation=1, now=T0)

    after = merge_conditions(before, [NOT_READY], generation=2, now=T1)

    assert find_condition(after, ConditionType.REACHABLE) == find_condition(before, ConditionType.REACHABLE)


def test_stalled_wins_over_reconciling() -> None:
    """kstatus looks at Reconciling first and would wait for ever for what needs a person."""
    assert types(merge_conditions((), [NOT_READY, RECONCILING, STALLED], generation=1, now=T0)) == ["Ready", "Stalled"]


def test_ready_is_always_there() -> None:
    merged = merge_conditions((), [RECONCILING], generation=4, now=T0)

    assert merged[0] == Condition("Ready", "Unknown", "Progressing", "not yet looked at", 4, T0)


def test_the_order_is_always_the_same() -> None:
    wanted = [Wanted(type_, "True", Reason.CONFLICT) for type_ in reversed(ConditionType)]

    merged = merge_conditions((), wanted, generation=1, now=T0)

    assert types(merged) == [each for each in ConditionType if each != ConditionType.RECONCILING]


def test_a_foreign_condition_goes() -> None:
    foreign = Condition("Synced", "True", "X", "", 1, T0)

    assert types(merge_conditions((foreign,), [READY], generation=1, now=T0)) == ["Ready"]


@STEADY
@given(
    st.lists(st.sampled_from(list(ConditionType)), unique=True),
    st.lists(st.sampled_from(list(ConditionType)), unique=True),
    st.sampled_from(["True", "False", "Unknown"]),
)
def test_every_merge_is_clean(first: list[ConditionType], second: list[ConditionType], status: str) -> None:
    current = merge_conditions((), [Wanted(each, "True", Reason.CONFLICT) for each in first], generation=1, now=T0)

    merged = merge_conditions(
        current,
        [Wanted(each, status, Reason.CONFLICT) for each in second],  # type: ignore[arg-type]  # a table of literals
        generation=2,
        now=T1,
    )

    assert merged[0].type == "Ready"
    assert len(set(types(merged))) == len(merged)
    assert all(each.status == "True" for each in merged if each.type in ABNORMAL_CONDITIONS)
    assert not {"Reconciling", "Stalled"} <= set(types(merged))


def test_a_message_is_one_printable_line() -> None:
    wanted = Wanted(ConditionType.READY, "False", Reason.DENIED, "a\nb\x1b[31m\u202ec" + "d" * 5000)

    message = merge_conditions((), [wanted], generation=1, now=T0)[0].message

    assert message.startswith("a b [31m cddd")
    assert len(message) == MAX_MESSAGE_LENGTH
    assert message.endswith("...")


@pytest.mark.parametrize(
    ("last", "status"),
    [((), "Unknown"), ((READY,), "True"), ((NOT_READY,), "False")],
    ids=["new", "ready", "not-ready"],
)
def test_suspend_keeps_the_last_ready(last: tuple[Wanted, ...], status: str) -> None:
    current = merge_conditions((), last, generation=1, now=T0) if last else ()

    wanted = suspended_ready(current)

    assert (wanted.status, wanted.reason) == (status, Reason.SUSPENDED)


GOOD = {
    "type": "Ready",
    "status": "True",
    "reason": "Provisioned",
    "message": "",
    "observedGeneration": 1,
    "lastTransitionTime": "2026-03-01T12:00:00Z",
}


@pytest.mark.parametrize(
    "entry",
    [
        None, 7, "Ready", [], {}, GOOD | {"type": ""}, GOOD | {"type": 1}, GOOD | {"status": True},
        GOOD | {"status": "Maybe"}, GOOD | {"reason": None}, GOOD | {"lastTransitionTime": "yesterday"},
        GOOD | {"lastTransitionTime": "2026-03-01T12:00:00"}, GOOD | {"lastTransitionTime": 5},
        GOOD | {"lastTransitionTime": "0001-01-01T00:00:00+23:00"}, GOOD | {"observedGeneration": "x"},
        GOOD | {"observedGeneration": -1}, GOOD | {"observedGeneration": 2**70},
    ],
)  # fmt: skip
def test_an_unreadable_condition_is_left_out(entry: object) -> None:
    assert conditions_from_status([entry, GOOD]) == (Condition("Ready", "True", "Provisioned", "", 1, T0),)


@pytest.mark.parametrize("raw", [None, {}, "x", 5, {"type": "Ready"}])
def test_conditions_that_are_no_list_are_none(raw: object) -> None:
    assert conditions_from_status(raw) == ()


def test_the_first_of_two_conditions_of_one_type_counts() -> None:
    assert [each.status for each in conditions_from_status([GOOD, GOOD | {"status": "False"}])] == ["True"]


def test_absent_is_not_true() -> None:
    merged = merge_conditions((), [NOT_READY, STALLED], generation=1, now=T0)

    assert is_true(merged, ConditionType.STALLED)
    assert not is_true(merged, ConditionType.READY)
    assert not is_true(merged, ConditionType.CONFLICT)


def test_times_are_written_in_utc_to_the_second() -> None:
    moment = datetime(2026, 3, 1, 14, 0, 0, 999999, tzinfo=timezone(timedelta(hours=2)))

    assert format_time(moment) == "2026-03-01T12:00:00Z"
    assert parse_time("2026-03-01T12:00:00Z") == T0


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        format_time(datetime(2026, 3, 1))  # noqa: DTZ001 - the point of the test
