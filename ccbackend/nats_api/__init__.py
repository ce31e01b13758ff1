"""Jobs reported to cc-backend by NATS (>= 1.5.0), and announced to other programs."""
