"""Read Slurm: run its commands and decode the output of every release into `Job` values."""
