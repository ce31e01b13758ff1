"""Names and comments that imitate Slurm's own output change only their own text."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from recorded_slurm import Situation, json_jobs, lookup_lines, node_of, text_jobs, text_records

from slurm.decode.scontrol_job import UntrustedTextError, add_job_detail, job_record_text
from slurm.decode.squeue_columns import columns_for, parse_job_columns
from slurm.job import Job
from slurm.release import Release, features_of

NODES_LINE = "     Nodes=n2cn002 CPU_IDs=0-15 Mem=0 GRES=gpu:a100:4(IDX:0-3)"
OTHERS_RECORD = (
    "JobId=815 JobName=y\n   UserId=bob(5002) GroupId=hpcusers(5000) MCS_label=N/A\n"
    "   JobState=RUNNING Reason=None Dependency=(null)\n   NodeList=n2cn002\n"
    "   Socks/Node=* NtasksPerN:B:S:C=0:0:*:* CoreSpec=*\n   JOB_GRES=(null)\n" + NODES_LINE
)
HOSTILE = {
    "an allocation": f"x\n{NODES_LINE}",
    "a record of somebody else": f"x\n\n{OTHERS_RECORD}",
    "a record of the same id": f"x\n\n{OTHERS_RECORD}".replace("815", "4200901"),
    "the second line": "x\n   UserId=bob(5002) GroupId=hpcusers(5000) MCS_label=N/A",
    "all lines up to the nodes": "x\n" + OTHERS_RECORD.partition("\n")[2],
    "the GRES line": f"x\n   JOB_GRES=gpu:a100:4\n{NODES_LINE}",
    "the node list": "x\n   NodeList=n2cn[001-004]",
    "a state": "x\n   JobState=COMPLETED Reason=None Dependency=(null)",
    "other line breaks": "".join(f"x{mark}{NODES_LINE}" for mark in "\r\v\f\x85\u2028\u2029"),
    "one line": f"x JobName=y ArrayJobId=7 ArrayTaskId=8 {NODES_LINE.strip()} UserId=bob(5002)",
    "an empty line": "x\n",
    "JSON": '","job_id":815,"user_name":"bob","job_resources":{},"x":"',
    "the separators of squeue and sacct": "x|815|bob|\n815|815|N/A|N/A|N/A|RUNNING|\x1f815\x1f",
    "bytes that are no UTF-8": "x\udcff\udcfe",
    "nothing": "",
    "control characters": "\x1b[2J\x00\x07\x7f",
}
FREE = (
    "JobName",
    "Command",
    "WorkDir",
    "Comment",
    "StdErr",
    "StdOut",
    "AdminComment",
    "SubmitLine",
)
SERIES = ("21.08", "22.05", "24.11", "26.05")


def truth(series: str) -> tuple[Job, str]:
    """Return the second job of gpu-two-nodes as squeue shows it, and its text."""
    situation = Situation(series, "gpu-two-nodes")
    columns = columns_for(features_of(Release(*map(int, series.split(".")))))
    jobs = parse_job_columns(lookup_lines(situation, ""), columns, cluster="lab").rows
    records = text_records(situation.files["scontrol.txt"])
    job_id = max(jobs)
    return jobs[job_id], records[job_id]


def forged(text: str, field: str, value: str) -> str:
    """Return a record in which a user has set a field; the field is added if it is missing."""
    raw = value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    lines = text.split("\n")
    if field == "JobName":
        lines[0] = lines[0].partition(" JobName=")[0] + f" JobName={raw}"
        return "\n".join(lines)
    own = [line for line in lines if line.strip().startswith(f"{field}=")]
    place = lines.index(own[0]) if own else lines.index(next(x for x in lines if "WorkDir=" in x))
    lines[place : place + bool(own)] = [f"   {field}={raw}"]
    return "\n".join(lines)


@pytest.mark.parametrize("field", FREE)
@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("series", SERIES)
def test_forged_text_is_refused_or_harmless(series: str, name: str, field: str) -> None:
    """Whatever a user writes, the text gives the true nodes, cores and GRES, or is refused."""
    job, text = truth(series)
    honest = add_job_detail(job, text, node_of=node_of)
    try:
        found = add_job_detail(job, forged(text, field, HOSTILE[name]), node_of=node_of)
    except UntrustedTextError:
        assert "\n" in HOSTILE[name]
    else:
        assert honest == replace(found, name=honest.name, comment=honest.comment)


@pytest.mark.parametrize("series", SERIES)
def test_a_job_name_of_one_line_is_kept_unchanged(series: str) -> None:
    """A name that imitates fields within its line stays a name."""
    job, text = truth(series)
    forgery = forged(text, "JobName", HOSTILE["one line"])

    assert HOSTILE["one line"] == add_job_detail(job, forgery, node_of=node_of).name


@pytest.mark.parametrize("name", HOSTILE)
def test_forged_json_names_change_no_field(name: str) -> None:
    """A hostile job name or comment in squeue's JSON changes no other field of the job."""
    document = Situation("24.11", "gpu-two-nodes").files["squeue.json"]
    honest = json_jobs(document)
    changed = json.loads(document)
    for record in changed["jobs"]:
        record["name"] = record["comment"] = HOSTILE[name]
    raw = json.dumps(changed, ensure_ascii=False).encode("utf-8", "surrogateescape")
    found = json_jobs(raw)

    assert honest == {
        i: replace(job, name=honest[i].name, comment=honest[i].comment) for i, job in found.items()
    }
    for job in found.values():
        assert job.name is None or job.name.encode("utf-8")


@pytest.mark.parametrize(
    "comment",
    [
        "disable_cc_submission",
        "a|b|c",
        "a|b\n815|815|N/A|N/A|N/A|RUNNING|1|1|N/A|1:00|0|1|bob|5002|k|cpu|n|(null)|n2cn002||OK|x",
        "x\n",
        "|\n|",
    ],
)
def test_admin_comment_cannot_create_another_job(comment: str) -> None:
    """The comment of an administrator is the last field: it is read with its line breaks."""
    columns = columns_for(features_of(Release(22, 5)))
    line = "7|7|N/A|N/A|N/A|RUNNING|1|2|3|1:00:00|0|2|alice|5001|k1|cpu|n|(null)|n2cn001|cpu=2|OK|"
    stdout = f"{line}{comment}|\n".encode()
    parsed = parse_job_columns(stdout, columns, cluster="lab")

    assert [7] == list(parsed.rows)
    assert ({}, ()) == (parsed.doubtful, parsed.problems)
    assert comment == parsed.rows[7].admin_comment


def test_description_shows_only_the_requested_job() -> None:
    """A name that imitates a record truncates its own text, and shows no other job."""
    job, text = truth("22.05")
    forgery = forged(text, "JobName", HOSTILE["a record of somebody else"])
    own = job_record_text(forgery, job.job_id)

    assert own is not None
    assert own.startswith(f"JobId={job.job_id} JobName=x")
    assert "UserId=bob" not in own


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("CPU_IDs=8-9", "CPU_IDs=8-15"),  # more CPUs than squeue counts
        ("CPU_IDs=8-9", "CPU_IDs=8-99"),  # no such core
        ("CPU_IDs=8-9", "CPU_IDs=9-8"),
        ("CPU_IDs=8-9", "CPU_IDs=" + "0,2," * 40),  # cut after 127 characters, up to 24.11
        ("CPU_IDs=8-9 Mem", "CPU_IDs=8-9 Memory"),
        ("Nodes=n2gpu01 ", "Nodes=n2gpu02 "),  # not squeue's nodes
        ("Nodes=n2gpu01 ", "Nodes=n2gpu[01 "),
        ("     Nodes=n2gpu01 CPU_IDs=8-9 Mem=2000 GRES=gpu:a100:2(IDX:2-3)\n", ""),
        ("JobId=4200901", "JobId=4200902"),
        ("   JOB_GRES=gpu:a100:4\n", ""),
        ("   Partition=gpu", "     Partition=gpu"),
    ],
)
def test_text_that_disagrees_with_squeue_is_refused(old: str, new: str) -> None:
    """Scontrol shows other CPUs, nodes or ids than squeue, or incomplete text."""
    job, text = truth("22.05")
    changed = text.replace(old, new)
    assert changed != text
    with pytest.raises(UntrustedTextError):
        add_job_detail(job, changed, node_of=node_of)


def test_text_of_an_unknown_node_gives_no_cores() -> None:
    """Without the threads per core, CPU numbers have no meaning; GRES and nodes are known."""
    job, text = truth("22.05")
    found = add_job_detail(job, text, node_of=lambda _name: None)

    assert [None, None] == [node.cores for node in found.allocations]
    assert [(2, 3), (0, 1)] == [node.gres[0].indices for node in found.allocations if node.gres]


def test_the_recorded_texts_of_harmless_jobs_are_accepted() -> None:
    """Each record of four scenarios and four releases is read from scontrol's text."""
    for series in SERIES:
        for scenario in ("many-states", "cr-cpu", "overcommit", "uneven-multinode"):
            assert all(
                isinstance(j, Job) for j in text_jobs(Situation(series, scenario), "").values()
            )
