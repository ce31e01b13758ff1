"""From events to facts: what is asked of Slurm, and what its answers mean for a job id."""
