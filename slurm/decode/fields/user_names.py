"""Login names of users, and the placeholders that Slurm prints for a user without a name."""

from __future__ import annotations

from typing import Any

from slurm.decode.fields.scalars import NO_VALUE, digits, text

PLACEHOLDER_USERS = frozenset({"nobody", "nfsnobody", "nouser", "unknown", "none", "null", "n/a"})
"""What Slurm, its wrappers and name services print, in any case, for a user without a name."""


def user_and_uid(name: Any, uid: int | None) -> tuple[str | None, int | None]:
    """Return login name and uid; the name is None where Slurm prints a placeholder.

    Slurm prints `nobody`, or the uid as text, while its name service cannot name the uid
    (`uid_to_string`, `src/common/uid.c`, 21.08 ... 26.05).

    Raises:
        ValueError: the name is not text.
    """
    found = (text(name) or "").strip()
    number_as_name = digits(found)
    if number_as_name is not None and number_as_name >= NO_VALUE:
        return None, uid
    # Digits that equal the uid are no name. Other digits are: some sites have numeric login names.
    if number_as_name is not None and uid in {None, number_as_name}:
        return None, number_as_name
    return (found if is_user_name(found) else None), uid


def is_user_name(word: str) -> bool:
    """Return whether a word can be the login name of a user, and is no placeholder for one."""
    plain = word.strip("()[]<>*").casefold()
    return word[:1] not in {"#", "?", "-"} and bool(plain) and plain not in PLACEHOLDER_USERS
