"""Fields of a record: numbers, states, host lists, GRES, TRES and sharing."""
