"""Resolve events into runs: query Slurm, and conclude starts and ends from its answers."""
