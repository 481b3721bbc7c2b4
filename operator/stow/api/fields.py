"""Reads untyped objects of the API server, field by field, with the path of what is wrong.

The schema refuses most of what is refused here; this is for objects that were stored before the schema said so, or that
came past it. Any value of any type ends in a typed field or in `InvalidSpecError`, never in another exception. No
message repeats a value: only paths and fixed words.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from stow.errors import InvalidSpecError

MAX_INT64: Final = 2**63 - 1


def invalid_spec(field: str, problem: str) -> InvalidSpecError:
    """The error for one field: `field` is its path, such as `spec.s3.endpoint`, `problem` what is expected there."""
    return InvalidSpecError(f"{field}: {problem}")


@dataclass(frozen=True, slots=True)
class Fields:
    """One object of a custom resource and its path; absent and `null` fields are the same."""

    values: Mapping[str, object]
    path: str

    @classmethod
    def of(cls, value: object, path: str) -> "Fields":
        """The object at `path`. Raises: InvalidSpecError when it is something else."""
        if not isinstance(value, Mapping):
            raise invalid_spec(path, "must be an object")
        return cls(value, path)

    def error(self, key: str, problem: str) -> InvalidSpecError:
        """The error for one field of this object."""
        return invalid_spec(f"{self.path}.{key}", problem)

    def has(self, key: str) -> bool:
        """Whether the field is there and not null."""
        return self.values.get(key) is not None

    def child(self, key: str) -> "Fields":
        """A nested object, an empty one where it is absent."""
        return Fields.of(self.values.get(key) if self.has(key) else {}, f"{self.path}.{key}")

    def text(self, key: str, *, max_length: int = 253, pattern: re.Pattern[str] | None = None) -> str:
        """A required, non-empty string of at most `max_length` characters which matches `pattern` in full."""
        value = self.optional_text(key, max_length=max_length, pattern=pattern)
        if value is None:
            raise self.error(key, "is required")
        return value

    def optional_text(self, key: str, *, max_length: int = 253, pattern: re.Pattern[str] | None = None) -> str | None:
        """Like `text`, but None where the field is absent."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value:
            raise self.error(key, "must be a string that is not empty")
        if len(value) > max_length:
            raise self.error(key, f"must have at most {max_length} characters")
        if pattern is not None and pattern.fullmatch(value) is None:
            raise self.error(key, f"must match {pattern.pattern}")
        return value

    def one_of(self, key: str, choices: tuple[str, ...], *, default: str | None = None) -> str:
        """One of `choices`; `default` where it is absent, or an error without a default."""
        value = self.values.get(key)
        if value is None:
            value = default
        if not isinstance(value, str) or value not in choices:
            raise self.error(key, f"must be one of {', '.join(choices)}")
        return value

    def flag(self, key: str, *, default: bool = False) -> bool:
        """A boolean."""
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.error(key, "must be true or false")
        return value

    def optional_count(self, key: str, *, minimum: int = 0) -> int | None:
        """An integer in [minimum, 2^63), or None where it is absent."""
        value = self.values.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= MAX_INT64:
            raise self.error(key, f"must be a whole number of at least {minimum}")
        return value

    def items(self, key: str, *, max_items: int) -> tuple[object, ...]:
        """A list of at most `max_items` entries, empty where it is absent."""
        value = self.values.get(key)
        if value is None:
            return ()
        if not isinstance(value, (list, tuple)):
            raise self.error(key, "must be a list")
        if len(value) > max_items:
            raise self.error(key, f"must have at most {max_items} entries")
        return tuple(value)

    def children(self, key: str, *, max_items: int) -> tuple["Fields", ...]:
        """A list of objects."""
        entries = self.items(key, max_items=max_items)
        return tuple(Fields.of(entry, f"{self.path}.{key}[{at}]") for at, entry in enumerate(entries))

    def texts(self, key: str, *, max_items: int, max_length: int = 253) -> tuple[str, ...]:
        """A list of non-empty strings."""
        entries = self.items(key, max_items=max_items)
        for at, entry in enumerate(entries):
            if not isinstance(entry, str) or not entry or len(entry) > max_length:
                raise self.error(f"{key}[{at}]", f"must be a string of 1 to {max_length} characters")
        return tuple(str(entry) for entry in entries)
