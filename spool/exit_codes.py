"""Exit codes of the commands: from 64 on sysexits(3); `check` has those of monitoring plugins."""

from __future__ import annotations

from collections.abc import Mapping

from ccbackend.errors import TokenError
from spool.errors import ConfigError, OutputError, SpoolError, SpoolLockedError, UsageError

OK = 0
INTERNAL = 1
USAGE = 2
DRIFT = 10
REFUSED = 11
UNAVAILABLE = 69
IO_ERROR = 74
TRY_AGAIN = 75
NO_PERMISSION = 77
CONFIG = 78

MEANINGS: Mapping[int, str] = {
    OK: "success",
    INTERNAL: "internal error of cc-slurm-sync; please report it with the log",
    USAGE: "wrong arguments, or an id that does not exist",
    DRIFT: "Slurm and cc-backend differ",
    REFUSED: "a safety check refused the action, or a file was not accepted",
    UNAVAILABLE: "Slurm or cc-backend does not answer; nothing was done",
    IO_ERROR: "the output could not be written to stdout",
    TRY_AGAIN: "not complete: the message names the cause (a lock, pending runs, a file error);"
    " repeat the command later",
    NO_PERMISSION: "the token is refused, or a permission is missing",
    CONFIG: "the configuration has errors; all of them are shown",
}


def exit_code_of(error: Exception) -> int:
    """Return the exit code for an exception."""
    if isinstance(error, OutputError):
        return IO_ERROR
    if isinstance(error, PermissionError) or isinstance(error.__cause__, PermissionError):
        return NO_PERMISSION
    if isinstance(error, ConfigError) and error.is_denied:
        return NO_PERMISSION
    from slurm.errors import SlurmError  # noqa: PLC0415 - needed only after an error

    codes: dict[type[Exception], int] = {
        UsageError: USAGE,
        ConfigError: CONFIG,
        SpoolError: CONFIG,
        SpoolLockedError: TRY_AGAIN,
        SlurmError: UNAVAILABLE,
        TokenError: NO_PERMISSION,
        OSError: TRY_AGAIN,
    }
    return next((code for kind, code in codes.items() if isinstance(error, kind)), INTERNAL)
