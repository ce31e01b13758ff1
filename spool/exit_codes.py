"""Exit codes of the commands, as in sysexits(3); `check` has those of monitoring plugins."""

from __future__ import annotations

OK = 0
INTERNAL = 1  # a bug
USAGE = 2  # wrong arguments, or an id that does not exist
DRIFT = 10  # Slurm and cc-backend differ
REFUSED = 11  # a safety check refused, or a file is not accepted
UNAVAILABLE = 69  # Slurm or cc-backend does not answer; nothing was done
IO_ERROR = 74  # the answer could not be written to stdout
TRY_AGAIN = 75  # the lock is held, or runs are still pending
NO_PERMISSION = 77  # a token or a permission is refused
CONFIG = 78
