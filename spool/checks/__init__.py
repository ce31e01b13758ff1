"""What `cc-spool check` looks at: each module finds out about one concern, as `CheckResult` values.

State of this host alone: no network, no Slurm, no lock.
"""
