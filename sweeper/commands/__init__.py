"""The verbs of `cc-sweep`: `plan`, `apply`, `explain`, `backfill`."""
