"""The spool: its directories and run files, the drain, and the commands of `cc-spool`."""

__version__ = "0.2.0"
