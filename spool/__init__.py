"""The spool: the directory on disk, the run file, the drain, the operator's commands."""

__version__ = "0.1.0"
