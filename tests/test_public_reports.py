"""Inputs from public bug reports about programs that read Slurm's output, with the correct values.

Each is named by the report's repository and number; names of hosts, users and jobs are made up.
"""

from __future__ import annotations

import pytest

from slurm.decode.fields.gres import parse_tres
from slurm.decode.fields.hostlist import HostlistError, expand_hosts
from slurm.decode.fields.job_states import split_state
from slurm.decode.job_rows import SQUEUE_FORMAT, parse_job_list, parse_queue_snapshot
from slurm.decode.sacct_rows import SACCT_FIELDS, SACCT_SEPARATOR, parse_sacct_rows
from slurm.decode.squeue_columns import columns_for, format_option, parse_job_columns
from slurm.decode.squeue_json import parse_job
from slurm.errors import SlurmError
from slurm.job import Job
from slurm.release import Release, features_of

START = 1795830840
ROW = {
    "Cluster": "lab",
    "JobIDRaw": "1000",
    "JobID": "1000",
    "User": "alice",
    "UID": "20001",
    "Account": "k1000",
    "Partition": "cpu",
    "State": "COMPLETED",
    "Submit": str(START - 5),
    "Start": str(START),
    "End": str(START + 60),
    "AllocCPUS": "2",
    "ExitCode": "0:0",
    "NodeList": "n1",
}
RECORD = {
    "job_id": 1000,
    "job_state": ["RUNNING"],
    "user_name": "alice",
    "user_id": 20001,
    "start_time": START,
    "nodes": "n1",
}


def accounted(**values: str) -> tuple[Job, ...]:
    """Return the runs of sacct's answer with one row."""
    row = ROW | values
    line = SACCT_SEPARATOR.join(row.get(name, "") for name in SACCT_FIELDS.split(","))
    return parse_sacct_rows(f"{line}\n".encode())


def shown(**values: object) -> Job:
    """Return the job of a record in JSON."""
    return parse_job(RECORD | values, node_of=lambda _: None)


@pytest.mark.parametrize(
    "tres", ["gres/gpu:a100=1,gres/gpu=1", "gres/gpu=1,gres/gpu:a100=1", "gres/gpu:a100=1"]
)
def test_typed_and_generic_gpus_are_not_added(tres: str) -> None:
    """NordicHPC/slurm2sql#12: one TRES text has gres/gpu:a100=1 and gres/gpu=1 for the same GPU."""
    assert (None, 1) == parse_tres(tres)


@pytest.mark.parametrize("series", [(21, 8), (22, 5), (24, 11), (26, 5)])
def test_no_column_of_squeue_is_cut_to_its_default_width(series: tuple[int, int]) -> None:
    """`squeue -O tres-alloc` is cut at 20 characters, `tres-alloc:` is not (slurm_exporter#36)."""
    columns = columns_for(features_of(Release(*series, 0)))

    assert format_option(columns).count(":|") == len(columns)


def test_allocated_nodes_without_sockets_have_no_known_cores() -> None:
    """meta-pytorch/monarch#2330: `nodes` is text, and no socket is listed."""
    allocated = {"nodename": "n1", "cpus_used": 0, "memory_used": 0, "memory_allocated": 15400}
    resources = {
        "nodes": "n1",
        "allocated_cores": 1,
        "allocated_cpus": 0,
        "allocated_hosts": 1,
        "allocated_nodes": [allocated],
    }
    job = shown(job_resources=resources)

    assert ("n1",) == job.nodes
    assert [None] == [each.cores for each in job.allocations]


@pytest.mark.parametrize(
    "name", ["crazy|name", "a|b|c|d", "srun bash -c 'echo a &&\necho b'", "|\n|"]
)
def test_a_job_name_with_separators_and_line_breaks_loses_no_run(name: str) -> None:
    """eth-cscs/firecrest-v2#148 and troycomi/reportseff#63: a name is free text."""
    (job,) = accounted(JobName=name)

    assert (name, START, ("n1",)) == (job.name, job.start_time, job.nodes)


@pytest.mark.parametrize("time", ["2026-11-02T10:00:00", "Mon 10:00"])
def test_a_time_without_its_zone_is_refused(time: str) -> None:
    """ceems-dev/ceems#432: never read as 0; the message names the field and SLURM_TIME_FORMAT."""
    with pytest.raises(SlurmError, match=r"Start.*SLURM_TIME_FORMAT"):
        accounted(Start=time)


def test_a_time_with_its_zone_is_read() -> None:
    """ceems-dev/ceems#432: with `%z` in SLURM_TIME_FORMAT a time of sacct is unambiguous."""
    (run,) = accounted(Start="2026-11-02T10:00:00+0100")

    assert 1793610000 == run.start_time


@pytest.mark.parametrize("word", ["COMPLETININVALID", "COMPLETIN", "RUNNING+", "CANCELLED+"])
def test_a_truncated_or_merged_state_is_not_recognized(word: str) -> None:
    """`COMPLETININVALID` is no state (ufs-community/ufs-weather-model#2379, NVIDIA/cloudai#461)."""
    assert split_state(word)[0] is None


@pytest.mark.parametrize("name", ["None", "Unknown", "N/A", "(null)"])
def test_a_job_name_may_look_like_a_missing_value(name: str) -> None:
    """A job named `None` or `N/A` keeps its name: in JSON a missing value is null."""
    assert (name, None) == (shown(name=name).name, shown(name=None).name)
    assert shown(qos=name).qos is None


def test_the_job_id_of_an_array_task_or_het_component_is_its_raw_id() -> None:
    """JobID is `43_91` or `50+1` (snakemake/snakemake#2036, ALU-Schumacher/AUDITOR#1966)."""
    (task,) = accounted(JobID="43_91", JobIDRaw="1166")
    (component,) = accounted(JobID="50+1", JobIDRaw="51")

    assert (1166, 43, 91) == (task.job_id, task.array_job_id, task.array_task_id)
    assert (51, 50, 1) == (component.job_id, component.het_job_id, component.het_job_offset)


@pytest.mark.parametrize(
    ("words", "state", "flags"),
    [
        ("COMPLETED", "COMPLETED", ()),
        (["COMPLETED"], "COMPLETED", ()),
        (["COMPLETED", "COMPLETING"], "COMPLETED", ("COMPLETING",)),
        (["RUNNING", "COMPLETING"], "RUNNING", ("COMPLETING",)),
    ],
)
def test_a_state_in_json_is_a_word_or_a_list(words: object, state: str, flags: object) -> None:
    """From 23.11 on a list: state, then flags (omnivector-solutions/jobbergate#722 and #739)."""
    job = shown(job_state=words)

    assert (state, flags) == (job.state, job.flags)


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("b1u01n1,b2u[05,02]n3,b3u03n4", "b1u01n1 b2u05n3 b2u02n3 b3u03n4"),
        ("c1001a-s[11,17]", "c1001a-s11 c1001a-s17"),
        ("rack[0-1]_blade[0-1]", "rack0_blade0 rack0_blade1 rack1_blade0 rack1_blade1"),
        ("nodeA,nodeB[001,003],nodeC", "nodeA nodeB001 nodeB003 nodeC"),
        ("foo-[10-11]-[01-02].x", "foo-10-01.x foo-10-02.x foo-11-01.x foo-11-02.x"),
        ("falcon", "falcon"),
    ],
)
def test_node_lists_of_other_sites_are_expanded(text: str, hosts: str) -> None:
    """The node lists are from issues of other projects.

    CraneSched#979, ignite#2204, cloudai#1023, Megatron-Bridge#3830, pavilion2#524, scoop#81.
    """
    assert tuple(hosts.split()) == expand_hosts(text)


@pytest.mark.parametrize("text", ["x],y", "node01],node02", "node[01", "node[]", "node[01,]"])
def test_a_node_list_with_a_stray_bracket_is_refused(text: str) -> None:
    """Other programs returned the text as one host (ROCm/spur#642, CraneSched#979)."""
    with pytest.raises(HostlistError):
        expand_hosts(text)


def test_a_value_in_latin_1_loses_no_job() -> None:
    """OSC/ood_core#838: under LANG=C one value that is not UTF-8 emptied the whole job list."""
    columns = columns_for(features_of(Release(24, 11, 5)))
    fields = {"JobID": "1000", "ArrayJobID": "1000", "State": "RUNNING", "StartTime": str(START)}
    fields |= {"SubmitTime": str(START), "UserName": "alice", "UserID": "20001", "NodeList": "n1"}
    odd = {**fields, "JobID": "1001", "ArrayJobID": "1001", "admin_comment": "gr\xf6\xdfe"}
    answer = "".join(
        "|".join(row.get(name, "") for name in columns) + "|\n" for row in (fields, odd)
    )
    found = parse_job_columns(answer.encode("latin-1"), columns, cluster="lab")

    assert {1000, 1001} == {*found.rows, *found.doubtful}
    assert 1000 in found.rows


def test_an_empty_account_shifts_no_column() -> None:
    """birc-aeh/slurm-utils#7: an empty field still counts as a field."""
    line = {"A": 1000, "F": 1000, "T": "RUNNING", "S": START, "e": 0, "V": START, "N": "n1"}
    words = [str(line.get(letter[1:], "")) for letter in SQUEUE_FORMAT.split("|")]
    (job,) = parse_job_list(("|".join(words) + "\n").encode())

    assert ("", "", "n1", START) == (job.account, job.partition, job.nodes, job.start_time)
    assert {1000: START} == parse_queue_snapshot(("|".join(words) + "\n").encode()).running
