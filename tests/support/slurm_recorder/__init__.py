"""Record what a Slurm release prints: situations on a lab cluster, or a live cluster once."""
