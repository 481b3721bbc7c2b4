"""Text that somebody else wrote - keys, metadata, a server's messages - made fit for a terminal."""

from __future__ import annotations


def visible(text: str) -> str:
    """What does not print (control characters, bidirectional overrides, lone surrogates) and the backslash are escaped: no stored
    name can drive the reader's screen or pass for another one."""
    return "".join(_escaped(c) for c in text)


def _escaped(character: str) -> str:
    if character == "\\":
        return "\\\\"
    return character if character.isprintable() else character.encode("unicode_escape").decode()
