"""Metrics for Prometheus: a snapshot of typed values, as text, in a file and over HTTP.

Only this package imports `prometheus_client`, and it is loaded only where metrics are written,
served or printed.
"""
