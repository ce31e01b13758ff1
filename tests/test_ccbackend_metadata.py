"""Free text of users is sent as clean UTF-8 within its limits."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccbackend.api_requests import encoded
from ccbackend.metadata import (
    LongText,
    MetadataPolicy,
    clean_text,
    cut_to_bytes,
    drop_largest,
    end_summary,
    fit_to_total,
    metadata_of,
    withholds_text,
)
from slurm.job import Job

ANY_TEXT = st.text(st.characters(codec=None, categories=None)) | st.binary()


def made(job: Job | None = None, **given_policy: Any) -> dict[str, str]:
    """Return the metadata of a job with script and description."""
    return metadata_of(
        job or Job(job_id=1, name="train"),
        script=b"#!/bin/sh\npassword=abc\n\0",
        description="JobId=1",
        policy=MetadataPolicy(**given_policy),
    )


def test_name_script_and_description_are_sent_by_default() -> None:
    """The NUL byte at the end of Slurm's script file is not sent."""
    assert made() == {
        "jobName": "train",
        "jobScript": "#!/bin/sh\npassword=abc\n",
        "slurmInfo": "JobId=1",
    }


def test_submit_time_qos_and_array_task_are_sent_as_text() -> None:
    """Numbers become text; empty values such as zero restarts are not sent."""
    job = Job(
        job_id=1,
        submit_time=1767225000,
        qos="long",
        reservation="",
        array_task_id=0,
        het_job_offset=0,
        restart_count=0,
    )
    found = metadata_of(job, script=None, description=None, policy=MetadataPolicy())

    assert found == {"submitTime": "1767225000", "qos": "long", "arrayTaskId": "0"}


def test_components_of_a_het_job_are_linked() -> None:
    """`hetJobId` and `hetJobOffset` are sent, also the offset 0 of the first component."""
    job = Job(job_id=1, het_job_id=1, het_job_offset=0, restart_count=2)
    found = metadata_of(job, script=None, description=None, policy=MetadataPolicy())

    assert found == {"hetJobId": "1", "hetJobOffset": "0", "restartCount": "2"}


@pytest.mark.parametrize(
    ("policy", "missing"),
    [
        ({"job_script": False}, {"jobScript"}),
        ({"slurm_info": False}, {"slurmInfo"}),
        ({"withheld_partitions": frozenset({"secret"})}, {"jobScript", "slurmInfo"}),
        ({"withheld_accounts": frozenset({"p1"})}, {"jobScript", "slurmInfo"}),
        ({"withheld_flag": "quiet"}, {"jobScript", "slurmInfo"}),
    ],
)
def test_script_and_description_can_be_withheld(policy: dict[str, Any], missing: set[str]) -> None:
    """A switch, a partition, an account or a flag withholds them; the job's name is always sent."""
    job = Job(job_id=1, name="n", partition="secret", account="p1", admin_comment="quiet")

    assert set(made(job, **policy)) == {"jobName", "jobScript", "slurmInfo"} - missing
    assert withholds_text(job, MetadataPolicy(**policy)) == (len(missing) == 2)


def test_secrets_are_masked_before_anything_is_cut() -> None:
    """If the text were cut first, half a secret could remain."""
    found = made(secrets=(re.compile(r"(?<=password=)\S+"),), script_bytes=60)

    assert found["jobScript"] == "#!/bin/sh\npassword=***\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"a\xffb", "a\ufffdb"),
        ("a\ud800b", "a\ufffdb"),
        ("a\r\nb\tc\x1b[0m\x00\x7f\x85d", "a\nb\tc[0md"),
        ("äß\u202e", "äß\u202e"),
    ],
)
def test_control_characters_are_removed_from_text(value: bytes | str, text: str) -> None:
    """Tab and newline stay; bytes that are not UTF-8 become U+FFFD."""
    assert clean_text(value) == text


@settings(deadline=None)
@given(ANY_TEXT)
def test_cleaned_text_is_valid_and_cleaning_it_again_changes_nothing(value: bytes | str) -> None:
    """Cleaned text is valid UTF-8 without control characters other than tab and newline."""
    text = clean_text(value)

    assert text.encode("utf-8").decode("utf-8") == text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", text)
    assert clean_text(text) == text


@settings(deadline=None)
@given(ANY_TEXT, st.integers(-5, 200))
def test_limited_text_never_exceeds_its_limit(value: bytes | str, limit: int) -> None:
    """Text is cut between two characters; its last line says how many bytes were cut."""
    text = clean_text(value)
    found = cut_to_bytes(text, limit)
    size = len(found.encode("utf-8"))

    assert size <= max(limit, 0)
    if note := re.search(r"\n\[(\d+) bytes cut\]$", found):
        kept = found[: note.start()]
        if found != text:
            assert text.startswith(kept)
            assert len(kept.encode()) + int(note[1]) == len(text.encode())
    else:
        assert text.startswith(found)


def test_a_short_limit_leaves_out_the_note_about_the_cut() -> None:
    """A limit of 3 bytes leaves one `ä` of `ääää`: half a character is dropped."""
    assert cut_to_bytes("ääää", 3) == "ä"
    assert cut_to_bytes("ää", 4) == "ää"
    assert cut_to_bytes("a" * 100, 30) == "a" * 14 + "\n[86 bytes cut]"


def uncut(metadata: dict[str, str]) -> dict[str, LongText]:
    """Return the texts of values that have not been cut."""
    return {key: LongText(value) for key, value in metadata.items()}


SCRIPT = "#!/bin/sh\n" + "echo x\n" * 1000


@pytest.mark.parametrize(
    ("given_bytes", "limits"),
    [
        (len(SCRIPT), {"script_bytes": 500}),
        (3000, {"script_bytes": 500}),
        (3000, {"script_bytes": 5000}),
        (3000, {"script_bytes": 3000}),
        (3000, {"script_bytes": 5000, "total_bytes": 800}),
        (len(SCRIPT), {"script_bytes": 900, "total_bytes": 600}),
    ],
)
@pytest.mark.parametrize("form", [str, str.encode])
def test_the_last_line_of_a_cut_script_counts_all_missing_bytes(
    given_bytes: int, limits: dict[str, Any], form: Callable[[str], bytes | str]
) -> None:
    """The number includes bytes that were not read and bytes cut by the two limits."""
    found = metadata_of(
        Job(job_id=1),
        script=form(SCRIPT[:given_bytes]),
        description="d" * 100,
        policy=MetadataPolicy(**limits),
        script_bytes_total=len(SCRIPT),
    )["jobScript"]

    kept, _, note = found.rpartition("\n")
    assert SCRIPT.startswith(kept)
    assert note == f"[{len(SCRIPT) - len(kept)} bytes cut]"


def test_a_complete_script_has_no_line_about_a_cut() -> None:
    """The script has the size of the file that it was read from."""
    found = metadata_of(
        Job(job_id=1),
        script=SCRIPT,
        description=None,
        policy=MetadataPolicy(),
        script_bytes_total=len(SCRIPT),
    )

    assert SCRIPT == found["jobScript"]


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["jobName", "jobScript", "slurmInfo", "qos"]), st.text(max_size=120)
    ),
    st.integers(0, 300),
)
def test_metadata_is_shortened_to_the_total_limit(metadata: dict[str, str], total: int) -> None:
    """The script is shortened first, then the description, never the name."""
    found = fit_to_total(metadata, total, whole=uncut(metadata))
    size = sum(len(value.encode()) for value in found.values())

    assert size <= total or not {"jobScript", "slurmInfo"} & set(found)
    assert found.get("jobName") == metadata.get("jobName")
    if found.get("slurmInfo") != metadata.get("slurmInfo"):
        assert "jobScript" not in found


@settings(deadline=None)
@given(ANY_TEXT, ANY_TEXT, st.text())
def test_any_text_of_a_user_gives_valid_json(
    script: bytes | str, description: bytes | str, name: str
) -> None:
    """The request body is UTF-8 and contains the metadata unchanged."""
    found = metadata_of(
        Job(job_id=1, name=name),
        script=script,
        description=description,
        policy=MetadataPolicy(script_bytes=50, total_bytes=90),
    )

    assert json.loads(encoded(found).decode("utf-8")) == found


def test_the_script_is_dropped_before_the_description() -> None:
    """A start that is too large loses the script, then the description, never the name."""
    first = drop_largest({"jobName": "n", "jobScript": "s", "slurmInfo": "i"})
    second = drop_largest(first or {})

    assert (first, second) == ({"jobName": "n", "slurmInfo": "i"}, {"jobName": "n"})
    assert drop_largest(second or {}) is None


def test_a_script_is_shortened_before_the_description_is() -> None:
    """Script (500 bytes) and description (100) must fit in 300: only the script is cut."""
    whole = {"jobName": "n", "jobScript": "x" * 500, "slurmInfo": "y" * 100}

    sent = fit_to_total(whole, 300, whole=uncut(whole))

    assert {**whole, "jobScript": sent["jobScript"]} == sent
    assert sent["jobScript"].startswith("xxx")
    assert sum(map(len, sent.values())) <= 300


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        (("COMPLETED", "0:0", 0), "COMPLETED, exit code 0:0"),
        (("OUT_OF_MEMORY", None, None), "OUT_OF_MEMORY"),
        (("FAILED", "1:0", 1), "FAILED, exit code 1:0, requeued once"),
        (("TIMEOUT", "0:15", 3), "TIMEOUT, exit code 0:15, requeued 3 times"),
    ],
)
def test_the_end_summary_has_state_exit_code_and_requeues(
    facts: tuple[str, str | None, int | None], text: str
) -> None:
    """For example `FAILED, exit code 1:0, requeued once`; unknown values are omitted."""
    state, code, restarts = facts

    assert text == end_summary(state, exit_code=code, restart_count=restarts)
