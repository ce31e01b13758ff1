"""The wire to one server: exchanges that are bounded in time and size, and never led elsewhere."""

from __future__ import annotations

import importlib
import sys
import warnings

# What requests would load, 2.6 MiB, to guess the encoding of an answer that names none. Our answers
# are UTF-8, and requests works without, but warns.
_ENCODING_GUESSERS = ("chardet", "charset_normalizer")


def _load_requests() -> None:
    absent = [name for name in _ENCODING_GUESSERS if name not in sys.modules]
    for name in absent:
        sys.modules[name] = None  # type: ignore[assignment] # makes an import of it fail
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("requests")
    for name in absent:
        del sys.modules[name]


_load_requests()
