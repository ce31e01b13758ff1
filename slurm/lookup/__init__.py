"""Look up job records by id: the cheapest correct source, and the next one if it fails."""
