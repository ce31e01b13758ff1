"""What Slurm's commands print, of any release, as `Job` values: pure, one form a module."""
