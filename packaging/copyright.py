"""Print the machine-readable copyright file of the package: ours, and of each library in it.

`copyright.py VENDOR LICENSE`: VENDOR holds the libraries, each with its METADATA and its licence.
"""

from __future__ import annotations

import re
import sys
from email import message_from_string
from pathlib import Path

COMMON = {"Apache-2.0", "MPL-2.0"}
"""Licences whose text every Debian system has."""
FORMAT = "https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/"
_LICENCE = re.compile("LICEN|COPYING|NOTICE").match
SPELLINGS = {"MIT License": "MIT", "BSD-3-Clause": "BSD-3-Clause", "Apache 2.0": "Apache-2.0"}


def main(vendor: Path, own: Path) -> None:
    """Print one paragraph for our files and one for each library."""
    print(f"Format: {FORMAT}\nUpstream-Name: cc-slurm-sync\n")
    _paragraph("*", "MIT", own.read_text())
    for metadata in sorted(vendor.glob("*.dist-info/METADATA")):
        fields = message_from_string(metadata.read_text())
        name = fields["License-Expression"] or fields["License"] or "unknown"
        name = SPELLINGS.get(name, name).replace(" AND ", " and ")
        texts = [
            path.read_text() for path in sorted(metadata.parent.rglob("*")) if _LICENCE(path.name)
        ]
        _paragraph(" ".join(_files(metadata.with_name("RECORD"))), name, "\n".join(texts))


def _files(record: Path) -> list[str]:
    """Return the patterns of a library's files as they are installed."""
    paths = {line.split(",")[0] for line in record.read_text().splitlines()}
    tops = {path.partition("/")[0] + ("/*" if "/" in path else "") for path in paths}
    return [f"usr/lib/cc-slurm-sync/{top}" for top in sorted(tops) if top[0].isalnum()]


def _paragraph(files: str, name: str, text: str) -> None:
    """Print a paragraph; a text that every system has is named, not repeated."""
    holders = sorted(
        {" ".join(line.split()) for line in re.findall(r"(?im)^.*copyright .*\d{4}.*$", text)}
    )
    print(f"Files: {files}")
    print("Copyright:", "\n ".join(holders) or "the authors, see the licence beside the files")
    print(f"License: {name}")
    for common in sorted(COMMON):
        if common in name:
            print(f" The text is in /usr/share/common-licenses/{common}.")
    if name not in COMMON and "apache.org/licenses/" not in text:
        print(
            "\n".join(f" {line}".rstrip() if line.strip() else " ." for line in text.splitlines())
        )
    print()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
