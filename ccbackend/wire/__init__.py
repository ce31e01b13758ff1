"""HTTP exchanges with one server: limited in time and size, without redirects."""

from __future__ import annotations

import importlib
import sys
import warnings
from contextlib import suppress
from types import ModuleType
from typing import Any

# What requests would load, 2.6 MiB, to guess the encoding of an answer that names none. Our answers
# are UTF-8, and requests works without, but warns.
_ENCODING_GUESSERS = ("chardet", "charset_normalizer")
# What urllib3 would load, 0.5 MiB, to find the version of a library for HTTP/2, which is not used
# here (urllib3 2.8.0, src/urllib3/http2/__init__.py: it imports `version` and does not call it).
_METADATA_MODULE = "importlib.metadata"


def _load_requests() -> None:
    empty_metadata: Any = ModuleType(_METADATA_MODULE)
    empty_metadata.version = None
    # None makes the import of a module fail, which requests expects of the guessers.
    stand_ins = {**dict.fromkeys(_ENCODING_GUESSERS), _METADATA_MODULE: empty_metadata}
    added = {name: module for name, module in stand_ins.items() if name not in sys.modules}
    sys.modules.update(added)
    # The errors of another release, which needs one of these modules while it is loaded.
    with warnings.catch_warnings(), suppress(ImportError, AttributeError, TypeError):
        warnings.simplefilter("ignore")
        importlib.import_module("requests")
    for name in added:
        del sys.modules[name]
    importlib.import_module("requests")  # does nothing unless the import above has failed


_load_requests()
