"""Decodes releases of Slurm from `--version` and `scontrol show config`."""

from __future__ import annotations

import re
from typing import Any

from slurm.errors import FailureReason, SlurmError, excerpt
from slurm.release import Release

_NUMBER = r"([1-9][0-9])\.(0[1-9]|1[0-2])(?:\.([0-9]{1,3}))?(?![0-9.])"
_WHOLE_LINE = re.compile(rf"\s*slurm(?:-wlm)?\s+{_NUMBER}\S*\s*", re.IGNORECASE)
_IN_A_LINE = re.compile(rf"\bslurm(?:-wlm)?\s+{_NUMBER}", re.IGNORECASE)
_ALONE = re.compile(rf"\s*{_NUMBER}\S*\s*")
# Wrappers print coloured banners.
_ESCAPE_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def parse_release(stdout: bytes) -> Release:
    """Read `squeue --version`: `slurm 24.05.8`, `slurm-wlm 22.05.8`.

    A site's wrapper may print lines with other version numbers before it: only a number behind the
    word `slurm` counts, and of several such lines the last one, which is Slurm's own.

    Raises:
        SlurmError: it contains no release.
    """
    text = _ESCAPE_SEQUENCE.sub("", stdout.decode("utf-8", "replace"))
    lines = text.splitlines()
    whole = [found for line in lines if (found := _WHOLE_LINE.fullmatch(line))]
    releases = whole or [found for line in lines if (found := _IN_A_LINE.search(line))]
    if not releases:
        said = excerpt(text) or "(nothing)"
        message = f"expected output such as `slurm 24.11.7` from --version, got: {said}"
        raise SlurmError(message, reason=FailureReason.MALFORMED)
    return _release(releases[-1])


def parse_release_number(text: str) -> Release:
    """Read a release number alone, as `scontrol show config` and the JSON of Slurm have it.

    Raises:
        SlurmError: it is not a release number.
    """
    found = _ALONE.fullmatch(text)
    if found is None:
        message = f"expected a Slurm release such as 24.11.7, got {excerpt(text)!r}"
        raise SlurmError(message, reason=FailureReason.MALFORMED)
    return _release(found)


def release_of_meta(meta: Any) -> Release | None:
    """Return the release in `meta` of a JSON answer; None where it names none that can be read.

    `{"Slurm": {"release": "22.05.8"}}`, from 23.11 on with the key `slurm`.
    """
    own = (meta.get("slurm") or meta.get("Slurm")) if isinstance(meta, dict) else None
    number = own.get("release") if isinstance(own, dict) else None
    found = _ALONE.fullmatch(number) if isinstance(number, str) else None
    return _release(found) if found else None


def _release(found: re.Match[str]) -> Release:
    year, month, patch = found.groups()
    return Release(int(year), int(month), int(patch or 0))
