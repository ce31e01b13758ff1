"""A module that a Python loads if it honours PYTHONPATH: ours and its installation do not."""

raise SystemExit("a module of the caller was loaded")
