"""The system calls of `os` as an object, so that a test can replace some of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager

from spool.files.system_calls import DirectoryEntry


class RealCalls:
    """All methods of `spool.files.system_calls.SystemCalls`, taken from `os`."""

    open = staticmethod(os.open)
    read = staticmethod(os.read)
    write = staticmethod(os.write)
    pread = staticmethod(os.pread)
    pwrite = staticmethod(os.pwrite)
    ftruncate = staticmethod(os.ftruncate)
    close = staticmethod(os.close)
    fstat = staticmethod(os.fstat)
    fstatvfs = staticmethod(os.fstatvfs)
    stat = staticmethod(os.stat)
    utime = staticmethod(os.utime)
    link = staticmethod(os.link)
    mkdir = staticmethod(os.mkdir)
    rmdir = staticmethod(os.rmdir)

    def scandir(self, path: int, /) -> AbstractContextManager[Iterator[DirectoryEntry]]:
        """Scan an open directory."""
        return os.scandir(path)
