"""A module that every Python loads which honours PYTHONPATH: the program and its installation not."""

raise SystemExit("a module of the caller was loaded")
