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
SPELLINGS = {"MIT License": "MIT", "BSD-3-Clause": "BSD-3-Clause", "Apache 2.0": "Apache-2.0"}


def main(vendor: Path, own: Path) -> None:
    """Print one paragraph for our files and one for each library."""
    print(f"Format: {FORMAT}\nUpstream-Name: cc-slurm-sync\n")
    _paragraph("*", "MIT", own.read_text())
    for metadata in sorted(vendor.glob("*.dist-info/METADATA")):
        fields = message_from_string(metadata.read_text())
        name = fields["License-Expression"] or fields["License"]
        name = SPELLINGS.get(name, name).replace(" AND ", " and ")
        texts = [
            path.read_text()
            for path in sorted(metadata.parent.rglob("*"))
            if path.is_file() and path != metadata
        ]
        tops = _tops(vendor, metadata.parent.name.partition("-")[0])
        _paragraph(" ".join(tops), name, "\n".join(texts))


def _tops(vendor: Path, distribution: str) -> list[str]:
    """Return the patterns of a library's files as they are installed."""
    module = "usr/lib/cc-slurm-sync/"
    found = [path.name for path in vendor.iterdir() if path.name.startswith(distribution)]
    return [f"{module}{name}/*" if (vendor / name).is_dir() else module + name for name in found]


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
    if name not in COMMON and text:
        print(
            "\n".join(f" {line}".rstrip() if line.strip() else " ." for line in text.splitlines())
        )
    print()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
