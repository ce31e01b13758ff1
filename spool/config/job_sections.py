"""The sections of the configuration about jobs: which are reported, and with which texts."""

from __future__ import annotations

import re

from slurm.light_dataclass import light_dataclass
from spool.config.keys import DAY_SECONDS, key, section
from spool.config.readers import (
    boolean,
    flag,
    integer,
    list_of,
    number,
    optional,
    secret_pattern,
    set_of,
    text,
)


@light_dataclass
class NamesKeys:
    """The keys of one filter: report only names in `allow` if it is set, never those in `deny`."""

    allow: frozenset[str] = key(
        set_of(text), frozenset(), about="report only {}; if empty, all jobs"
    )
    deny: frozenset[str] = key(set_of(text), frozenset(), about="never report {}")


@light_dataclass
class FilterKeys:
    """The keys of section `filters`: which jobs are reported."""

    clusters: NamesKeys = section(
        NamesKeys, about="jobs of these clusters (named as in cc-backend)"
    )
    partitions: NamesKeys = section(NamesKeys, about="jobs of these partitions")
    accounts: NamesKeys = section(NamesKeys, about="jobs of these accounts")
    users: NamesKeys = section(NamesKeys, about="jobs of these users (login names)")
    qos: NamesKeys = section(NamesKeys, about="jobs with these QOS")
    opt_out_flag: str = key(
        flag,
        "disable_cc_submission",
        about="a job is not reported at all if its AdminComment or Comment has this word "
        "(words are separated by commas or line breaks)",
    )


@light_dataclass
class MetadataKeys:
    """The keys of section `metadata`: which texts of a job are sent, and how much of them.

    `user_from_uid_after_seconds`: how long a start waits for the name of its user before the number
    is sent instead; None: no limit.
    """

    job_script: bool = key(
        boolean,
        default=True,
        about="whether the batch script is sent. Everybody who can see the job in cc-backend can "
        "read it, and scripts can contain secrets",
    )
    slurm_info: bool = key(
        boolean,
        default=True,
        about="whether the job's description, the output of `scontrol show job`, is sent. The "
        "job's environment is never sent",
    )
    end_summary: bool = key(
        boolean,
        default=True,
        about="whether Slurm's end state, exit code and number of requeues (`endSummary`) and the "
        "final description are sent just before the stop, to cc-backend 1.5 or later",
    )
    withheld_partitions: frozenset[str] = key(
        set_of(text),
        frozenset(),
        about="partitions whose jobs are reported without script and description",
    )
    withheld_accounts: frozenset[str] = key(
        set_of(text),
        frozenset(),
        about="accounts whose jobs are reported without script and description",
    )
    opt_out_flag: str = key(
        flag,
        "disable_cc_metadata",
        about="a job is reported without script and description if its AdminComment or Comment "
        "has this word",
    )
    secret_patterns: tuple[re.Pattern[str], ...] = key(
        list_of(secret_pattern),
        (),
        about="what these patterns match in script and description is replaced by `***`",
    )
    job_name_bytes: int = key(
        integer(1, 10**4, "bytes"), 1_000, about="maximum length of the job name"
    )
    job_script_bytes: int = key(
        integer(1, 4 * 2**20, "bytes"),
        64_000,
        about="maximum length of the script; if it is cut, a last line says how many bytes are "
        "missing",
    )
    slurm_info_bytes: int = key(
        integer(1, 10**6, "bytes"),
        16_000,
        about="maximum length of the description; if it is cut, a last line says how many bytes "
        "are missing",
    )
    other_bytes: int = key(
        integer(1, 10**4, "bytes"), 1_000, about="maximum length of any other text of a job"
    )
    total_bytes: int = key(
        integer(1, 10**6, "bytes"),
        100_000,
        about="maximum length of all texts of a job together; use 60000 for cc-backend 1.4 or "
        "earlier with MySQL",
    )
    user_from_uid_after_seconds: float | None = key(
        optional(number(0, 3650 * DAY_SECONDS, "seconds")),
        None,
        about="if a job's user name is not known, its start is sent with the uid after this many "
        "seconds. null: it waits until the name is known",
    )
