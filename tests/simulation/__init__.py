"""A deterministic simulation of the production drain: virtual clock, disk, Slurm and cc-backend."""
