"""Observing: the questions to cc-backend, Slurm and the spool, and their answers."""
