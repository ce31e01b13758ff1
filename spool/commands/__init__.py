"""The verbs of `cc-spool`: one module each."""
