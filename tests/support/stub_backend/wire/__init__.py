"""What crosses the wire: HTTP, its faults, and JSON as Go reads and writes it."""
