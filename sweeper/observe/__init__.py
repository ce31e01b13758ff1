"""The queries of a sweep to cc-backend, Slurm and the spool, and their answers."""
