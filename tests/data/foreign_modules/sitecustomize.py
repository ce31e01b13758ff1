"""A module that Python loads if it honours PYTHONPATH: our commands and `make install` must not."""

raise SystemExit("a module of the caller was loaded")
