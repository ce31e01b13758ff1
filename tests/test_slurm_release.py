"""The release of Slurm's commands, also behind the wrappers of a site."""

from __future__ import annotations

import pytest

from slurm.decode.release_text import parse_release, parse_release_number
from slurm.errors import FailureReason, SlurmError
from slurm.release import Release


@pytest.mark.parametrize(
    ("stdout", "release"),
    [
        (b"slurm 24.05.8\n", Release(24, 5, 8)),
        (b"slurm-wlm 22.05.8\n", Release(22, 5, 8)),
        (b"slurm 25.11.0-0rc1\r\n", Release(25, 11, 0)),
        (b"slurm 23.11\n", Release(23, 11)),
        (b"site wrapper 12.34\nslurm 26.05.3\n", Release(26, 5, 3)),
        (b"Slurm tools 24.05 of the site\nslurm 26.05.3\n", Release(26, 5, 3)),
        (b"slurm 22.05 is old, see the wiki\nslurm 26.05.3\n", Release(26, 5, 3)),
        (b"\x1b[1mhpc 24.11.1\x1b[0m\n\n\x1b[32mslurm 21.08.8-2\x1b[0m\n", Release(21, 8, 8)),
        (b"slurm 23.02.7\nmaintenance on 12.05.2027\n", Release(23, 2, 7)),
        (b"welcome to slurm 25.05.1, ada\n", Release(25, 5, 1)),
        (b"\xff\xfe\nslurm 24.11.5\n", Release(24, 11, 5)),
    ],
)
def test_the_release_is_after_the_word_slurm(stdout: bytes, release: Release) -> None:
    """Other numbers that a wrapper of `squeue --version` prints are not used."""
    assert release == parse_release(stdout)


@pytest.mark.parametrize("stdout", [b"site wrapper 24.05.1\n", b"slurm 24.13.1\n", b"slurm x\n"])
def test_a_version_answer_without_a_release_is_refused(stdout: bytes) -> None:
    """The error shows the line of `squeue --version` that has no release."""
    with pytest.raises(SlurmError) as caught:
        parse_release(stdout)

    assert FailureReason.MALFORMED is caught.value.reason
    assert stdout.decode().strip() in str(caught.value)


def test_an_empty_version_answer_is_refused() -> None:
    """The error says that `squeue --version` printed nothing."""
    with pytest.raises(SlurmError, match="nothing"):
        parse_release(b"")


def test_a_release_number_without_the_word_slurm_is_read() -> None:
    """The configuration and JSON have the number alone, such as 22.05.8."""
    assert Release(22, 5, 8) == parse_release_number("22.05.8")


def test_a_release_number_with_other_text_is_refused() -> None:
    """The error shows the refused text, such as `22.05.8 of mine`."""
    with pytest.raises(SlurmError, match="of mine"):
        parse_release_number("22.05.8 of mine")
