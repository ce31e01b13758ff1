"""Job records by id: the cheapest correct source, and the next one where that fails."""
