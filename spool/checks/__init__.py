"""The checks of `cc-spool check`: each module checks one subject and yields `CheckResult` values.

They read only local state: no network, no Slurm, no lock.
"""
