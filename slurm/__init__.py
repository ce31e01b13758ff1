"""Reading Slurm: run a command, decode its answer of any release into one `Job` value."""
