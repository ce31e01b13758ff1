"""Speaking to cc-backend: payload, dialect, session, answer to outcome, listing."""
