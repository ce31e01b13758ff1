"""The client of cc-backend: request bodies, connections, replies, job lists, API versions."""
