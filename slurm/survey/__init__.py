"""A Slurm cluster itself, asked before its jobs are reported: nodes, releases, rights."""
