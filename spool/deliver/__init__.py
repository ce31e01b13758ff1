"""From facts to cc-backend: what is told when, and what becomes of each answer."""
