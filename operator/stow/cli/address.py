"""How objects are named on the command line: ``container/key``, the key behind the first slash exactly as it is typed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from stow.cli.exits import CommandError, Exit


@dataclass(frozen=True, slots=True)
class Address:
    """A container and a key; an empty key means the container (or, for a listing, every key)."""

    container: str
    key: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises:
        CommandError: no container in it, or not UTF-8.
        """
        container, _, key = text.partition("/")
        if not container or ":" in container:
            raise CommandError(
                f"{text!r} is no object; write container/key, for example reports/2026/a.csv.", exit_code=Exit.USAGE
            )
        try:
            text.encode()
        except UnicodeEncodeError:
            raise CommandError(f"{text!r} is not valid UTF-8.", exit_code=Exit.USAGE) from None
        return cls(container, key)

    @classmethod
    def of_object(cls, text: str) -> Self:
        """As ``parse``, and the key must be there."""
        address = cls.parse(text)
        if not address.key:
            raise CommandError(
                f"{text!r} names a container; add the object's key behind a slash.", exit_code=Exit.USAGE
            )
        return address

    @property
    def document(self) -> dict[str, str]:
        """As ``--json`` shows it."""
        return {"container": self.container, "key": self.key}

    def __str__(self) -> str:
        return f"{self.container}/{self.key}"
