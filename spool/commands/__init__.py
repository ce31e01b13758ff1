"""The subcommands of `cc-spool`, one module each."""
