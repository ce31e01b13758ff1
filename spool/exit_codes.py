"""Exit codes of the commands, as in sysexits(3); `check` has those of monitoring plugins."""

from __future__ import annotations

from collections.abc import Mapping

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
    INTERNAL: "a bug in the program",
    USAGE: "wrong arguments, or an id that does not exist",
    DRIFT: "Slurm and cc-backend differ",
    REFUSED: "a safety check refused, or a file was not accepted",
    UNAVAILABLE: "Slurm or cc-backend does not answer; nothing was done",
    IO_ERROR: "the output could not be written to stdout",
    TRY_AGAIN: "another process holds the lock, or runs are still pending; repeat it later",
    NO_PERMISSION: "a token or a permission is refused",
    CONFIG: "the configuration has errors; all of them are shown",
}
