"""`docs/conditions.md` and the stalled table of `docs/containers.md` say what `stow.api.reasons` says."""

from __future__ import annotations

from typing import Any

from stow.api.reasons import ABNORMAL_CONDITIONS, CONDITIONS, REASONS, ConditionType, needs_person


def test_every_condition_is_documented_in_the_words_of_the_code(manual: Any) -> None:
    rows = manual.table("conditions.md", "Conditions")

    assert {row["condition"]: row["meaning"] for row in rows} == {str(c): text for c, text in CONDITIONS.items()}
    assert {row["condition"] for row in rows if row["stands"] == "while true"} == set(ABNORMAL_CONDITIONS)
    assert [row["condition"] for row in rows if row["stands"] == "always"] == [ConditionType.READY]


def test_every_reason_is_documented_with_its_conditions_and_in_the_words_of_the_code(manual: Any) -> None:
    documented = [
        (row["reason"], row["on"], row["stalled"], row["meaning"]) for row in manual.table("conditions.md", "Reasons")
    ]

    assert documented == [
        (str(reason), ", ".join(info.conditions), "yes" if info.needs_person else "", info.description)
        for reason, info in REASONS.items()
    ]


def test_every_reason_that_needs_a_person_says_what_to_do(manual: Any) -> None:
    rows = manual.table("containers.md", "What a stalled object asks of you")

    assert {row["reason"] for row in rows} == {str(reason) for reason in REASONS if needs_person(reason)}
    assert all(row["what to do"] for row in rows)
