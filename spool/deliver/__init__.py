"""Deliver runs to cc-backend: the order of requests, and the reactions to its answers."""
