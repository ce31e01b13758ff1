"""Compares Slurm with cc-backend and repairs the differences through the spool."""
