"""The directory on disk, the run file, the drain, the commands of the operator."""
