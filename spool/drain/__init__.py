"""The drain: recovery, the loop that resolves and delivers, housekeeping, and shutdown."""
