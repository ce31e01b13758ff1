"""Record what a Slurm release prints: situations on a lab cluster, or one look at a live one."""
