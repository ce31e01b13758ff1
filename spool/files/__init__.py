"""What lies on disk: directories, events, runs, dead letters, state; every durable change."""
