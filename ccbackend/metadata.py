"""The strings of metaData: cleaned, limited, and without what the site withholds.

Values are free text of users: whatever bytes come in, clean UTF-8 within its limit goes out. The
key `message` is never sent (rendered as raw HTML by cc-backend 1.3.0 ... 1.5.3), nor is the job's
environment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ccbackend.facts import JobFacts
from ccbackend.job_filters import comment_flags

SCRIPT_KEY = "jobScript"
DESCRIPTION_KEY = "slurmInfo"
NAME_KEY = "jobName"
END_KEY = "endSummary"
# Not tab (09) and newline (0a). Among the others are NUL, which ends Slurm's script files, and the
# escape that begins a terminal's sequences.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataPolicy:
    """Which metadata may be sent; limits in bytes of UTF-8, `total_bytes` for all values together.

    A server up to 1.4 on MySQL needs `total_bytes` 60 000, because its column holds 64 KiB.
    """

    job_script: bool = True
    slurm_info: bool = True
    end_summary: bool = False
    withheld_partitions: frozenset[str] = frozenset()
    withheld_accounts: frozenset[str] = frozenset()
    withheld_flag: str = "disable_cc_metadata"
    secrets: tuple[re.Pattern[str], ...] = ()
    name_bytes: int = 1_000
    script_bytes: int = 64_000
    description_bytes: int = 16_000
    other_bytes: int = 1_000
    total_bytes: int = 100_000


@dataclass(frozen=True, slots=True)
class LongText:
    """A text that may have to be cut, and how many bytes were cut from its end before."""

    text: str
    missing_bytes: int = 0

    def cut_to(self, limit_bytes: int) -> str:
        """Return the text cut to a limit; a last line says how many bytes are missing."""
        return cut_to_bytes(self.text, limit_bytes, missing_bytes=self.missing_bytes)


def metadata_of(
    job: JobFacts, *, script: bytes | str | None, description: bytes | str | None,
    policy: MetadataPolicy, script_bytes_total: int | None = None,
) -> dict[str, str]:  # fmt: skip
    """Make the metaData of a start request: `{"jobName": ..., "jobScript": ..., ...}`.

    Args:
        job: facts.
        script: batch script as Slurm has it, None if there is none or it is not known.
        description: text of `scontrol show job` for exactly this job.
        policy: of the site.
        script_bytes_total: size of the whole script, where only its beginning is given.
    """
    with_text = not withholds_text(job, policy)
    found = {
        NAME_KEY: cut_to_bytes(clean_text(job.name or ""), policy.name_bytes),
        **_small_fields(job, policy.other_bytes),
    }
    whole: dict[str, LongText] = {}
    if with_text and policy.job_script and script is not None:
        whole[SCRIPT_KEY] = _long_text(script, policy, script_bytes_total)
        found[SCRIPT_KEY] = whole[SCRIPT_KEY].cut_to(policy.script_bytes)
    if with_text and policy.slurm_info and description is not None:
        whole[DESCRIPTION_KEY] = _long_text(description, policy)
        found[DESCRIPTION_KEY] = whole[DESCRIPTION_KEY].cut_to(policy.description_bytes)
    # No placeholder for a missing script: it would be shown, and searched as a script.
    given = {key: value for key, value in found.items() if value}
    return fit_to_total(given, policy.total_bytes, whole=whole)


def end_summary(state: str, *, exit_code: str | None, restart_count: int | None) -> str:
    """Return how a run ended: `FAILED, exit code 1:0, requeued 2 times`.

    cc-backend knows fewer states than Slurm, and no exit code.

    Args:
        state: Slurm's word.
        exit_code: exit status and signal (`1:0`), None if not known.
        restart_count: how often the job was requeued before this run.
    """
    parts = [state]
    if exit_code is not None:
        parts.append(f"exit code {exit_code}")
    if restart_count:
        parts.append("requeued once" if restart_count == 1 else f"requeued {restart_count} times")
    return clean_text(", ".join(parts))


def withholds_text(job: JobFacts, policy: MetadataPolicy) -> bool:
    """Return whether script and description of this job are withheld."""
    return (
        (job.partition or "") in policy.withheld_partitions
        or (job.account or "") in policy.withheld_accounts
        or policy.withheld_flag in comment_flags(job)
    )


def clean_text(value: bytes | str) -> str:
    r"""Return the decoded text without characters that a web page or terminal cannot show.

    Invalid UTF-8 and lone surrogates become U+FFFD, `\r\n` becomes `\n`, control characters but tab
    and newline are dropped; so is the NUL that ends Slurm's script files.
    """
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    if not text.isascii():
        text = _SURROGATE.sub("\ufffd", text)
    return _CONTROL.sub("", text.replace("\r\n", "\n"))


def cut_to_bytes(text: str, limit_bytes: int, *, missing_bytes: int = 0) -> str:
    """Return the text cut between two characters; a last line says how many bytes are missing.

    Where the limit has no room for that line the text is only cut. `missing_bytes` were cut off
    before, so that the line is added even where the text fits.
    """
    data = text.encode()
    if len(data) <= limit_bytes and not missing_bytes:
        return text
    room = limit_bytes - len(_cut_notice(len(data) + missing_bytes))
    if room < 0:
        return _cut_bytes(data, max(limit_bytes, 0))
    kept = _cut_bytes(data, room)
    return kept + _cut_notice(len(data) - len(kept.encode()) + missing_bytes)


def fit_to_total(
    metadata: Mapping[str, str], total_bytes: int, *, whole: Mapping[str, LongText]
) -> dict[str, str]:
    """Shorten the script, then the description, until all values fit; never the name.

    Args:
        metadata: values, each within its own limit.
        total_bytes: of all values together.
        whole: the texts from which they were cut, so that a second cut counts from the whole text.
    """
    found = dict(metadata)
    for key in (SCRIPT_KEY, DESCRIPTION_KEY):
        excess = sum(len(value.encode()) for value in found.values()) - total_bytes
        if excess > 0 and key in found:
            size = len(found[key].encode())
            # The name is not shortened: the job list of the web pages and its filters use it.
            found[key] = whole[key].cut_to(size - excess)
            if not found[key]:
                del found[key]
    return found


def drop_largest(metadata: Mapping[str, str]) -> dict[str, str] | None:
    """Return metadata without the script, else without the description; None if it has neither."""
    for key in (SCRIPT_KEY, DESCRIPTION_KEY):
        if key in metadata:
            return {name: value for name, value in metadata.items() if name != key}
    return None


def _small_fields(job: JobFacts, limit_bytes: int) -> dict[str, str]:
    values = {
        "submitTime": job.submit_time,
        "qos": job.qos,
        "reservation": job.reservation,
        "constraints": job.constraints,
        "requestedMemory": job.requested_memory,
        "arrayTaskId": job.array_task_id,
        "hetJobId": job.het_job_id or None,
        "hetJobOffset": job.het_job_offset if job.het_job_id else None,
        "restartCount": job.restart_count or None,
    }
    return {
        key: cut_to_bytes(clean_text(str(value)), limit_bytes)
        for key, value in values.items()
        if value is not None
    }


def _long_text(
    value: bytes | str, policy: MetadataPolicy, bytes_total: int | None = None
) -> LongText:
    """Return a text cleaned and with secrets masked, and how many bytes are missing at its end."""
    given = len(value if isinstance(value, bytes) else value.encode("utf-8", "replace"))
    missing = max((bytes_total or 0) - given, 0)
    # Masked before it is cut: at a cut, half a secret would no longer match its pattern.
    return LongText(_masked(clean_text(value), policy), missing)


def _masked(text: str, policy: MetadataPolicy) -> str:
    for pattern in policy.secrets:
        text = pattern.sub("***", text)
    return text


def _cut_notice(missing_bytes: int) -> str:
    return f"\n[{missing_bytes} bytes cut]"


def _cut_bytes(data: bytes, size: int) -> str:
    return data[:size].decode("utf-8", "ignore")
