"""The files on disk: directories, events, runs, dead letters, state, and their durable changes."""
