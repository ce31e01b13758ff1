"""The subcommands of `cc-sweep`: `plan`, `apply`, `explain`, `backfill`, `nodes`."""
