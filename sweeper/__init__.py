"""Slurm against cc-backend: the differences, repaired through the spool."""
