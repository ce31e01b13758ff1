"""Releases of cc-backend as tests and recordings write them."""

from __future__ import annotations

import re

from ccbackend.version import Version


def parse_version(text: str) -> Version:
    """Read `1.5.4`, also with a leading `v` or a suffix such as `+cclib-2.12.0`."""
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", text)
    assert found is not None, text
    return Version(*map(int, found.groups()))
