"""Exit codes of the commands, after sysexits(3); `check` alone has those of the plugins."""

from __future__ import annotations

OK = 0
INTERNAL = 1  # a bug
USAGE = 2  # wrong arguments, or they name nothing that is there
DRIFT = 10  # Slurm and cc-backend differ
REFUSED = 11  # a guard, or a file that is not taken
UNAVAILABLE = 69  # Slurm or cc-backend does not answer, nothing was done
IO_ERROR = 74  # the answer could not be written to stdout
TRY_AGAIN = 75  # the lock is busy, or work is left
NO_PERMISSION = 77  # a token or a right is refused
CONFIG = 78
