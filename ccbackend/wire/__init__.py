"""The wire to one server: exchanges that are bounded in time and size, and never led elsewhere."""
