"""The worker: recovery, the loop that resolves and delivers, its housekeeping and its end."""
