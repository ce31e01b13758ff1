"""The checks that `cc-spool check --full` adds: of Slurm, cc-backend, and this host.

Most of them are pure functions from answers to `CheckResult` values; `full_check` and
`slurm_checks` make the queries.
"""
