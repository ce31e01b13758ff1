"""Decoders of the output of Slurm's commands, of any release; pure, one format a module."""
