"""The recorder of Slurm's outputs: what it stores, and which names never leave a site."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from slurm_lab import Lab, Settings, require_slurm
from slurm_recorder.archive import archive_of, keep, series_of
from slurm_recorder.job_scenarios import JOB_SCENARIOS
from slurm_recorder.names import Pseudonyms, prefix_of
from slurm_recorder.recording_writer import RecordingWriter, Said, jobs_at
from slurm_recorder.resource_scenarios import RESOURCE_SCENARIOS
from slurm_recorder.scenario_run import ScenarioRun
from slurm_recorder.snapshot import snapshot


class Scripted:
    """Commands that return the answers given by a test."""

    def __init__(self, answers: dict[str, Said]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, argv: Sequence[str], user: str) -> Said:
        """Return the answer for the command's last word."""
        self.asked.append(f"{user}: {' '.join(argv)}")
        return self.answers.get(argv[-1], Said(0, b"text\n", b""))


def story(folder: Path) -> str:
    """Return the text of `commands.txt` in a recording."""
    return (folder / "commands.txt").read_text()


def test_a_situation_recorded_again_replaces_only_its_own_files(tmp_path: Path) -> None:
    """Other situations of the same release stay in the archive."""
    for round_, names in enumerate((("array", "batch"), ("batch",))):
        folder = tmp_path / str(round_) / "new"
        for name in names:
            (folder / name).mkdir(parents=True)
            (folder / name / "squeue.txt").write_text(f"{round_}\n")
        keep(folder, tmp_path, series_of("24.11.7"))

    with tarfile.open(archive_of(tmp_path, "24.11")) as kept:
        files = {each.name: kept.extractfile(each) for each in kept if each.isfile()}
        said = {name: file.read() for name, file in files.items() if file is not None}

    assert {"24.11/array/squeue.txt": b"0\n", "24.11/batch/squeue.txt": b"1\n"} == said


def test_a_private_name_is_replaced_everywhere() -> None:
    """A user or file name may be a field, a part of a path, or escaped by JSON."""
    found = Pseudonyms({"user": ["alice"], "file": ["/home/alice/my job.sh"]}, [])

    hidden = found.hide(b"alice|/home/alice/my job.sh|\\/home\\/alice\\/my job.sh|/srv/alice")

    assert b"user0001|file0001|file0001|/srv/user0001" == hidden


def test_a_longer_name_is_replaced_before_its_part() -> None:
    """With the users ann and annabel, no part of annabel stays."""
    hidden = Pseudonyms({"user": ["ann", "annabel"]}, []).hide(b"annabel ann")

    assert b"user0002 user0001" == hidden


def test_a_name_with_a_line_break_is_replaced_in_json() -> None:
    """JSON has the line break of a job name escaped."""
    hidden = Pseudonyms({"job": ["über\nuns"]}, []).hide(json.dumps("über\nuns").encode())

    assert b'"job0001"' == hidden


@pytest.mark.parametrize("word", ["a1", "(null)", "1000", "gpu", "10.5"])
def test_words_without_private_information_stay(word: str) -> None:
    """To replace numbers, `gpu`, `(null)` or very short names would damage the recording."""
    assert word.encode() == Pseudonyms({"user": [word]}, []).hide(word.encode())


def test_pseudonyms_keep_host_numbers() -> None:
    """Only the prefix of fritz[001-002] is replaced; a host without a number becomes hostNNNN."""
    found = Pseudonyms({}, ["fritz001", "fritz002", "login"])

    hidden = found.hide(b"fritz[001-002],login Slurmfritz001 fritz")

    assert b"nodea[001-002],host0003 Slurmfritz001 fritz" == hidden


@pytest.mark.parametrize(("host", "prefix"), [("n2cn001", "n2cn"), ("a-b7", "a-b"), ("ctl", None)])
def test_a_host_prefix_is_the_part_before_the_number(host: str, prefix: str | None) -> None:
    """Host n2cn001 has the prefix n2cn; a host without a number at its end has none."""
    assert prefix == prefix_of(host)


def test_an_answer_is_stored_as_it_was_printed(tmp_path: Path) -> None:
    """Every byte of a command's output is stored; `commands.txt` has the command."""
    writer = RecordingWriter(
        tmp_path, Scripted({"show": Said(0, b"\xff\n", b"")}), clock=lambda: 1.5
    )
    writer.keep("a.txt", "env", "SLURM_TIME_FORMAT=%s", "scontrol", "show")
    writer.close()

    assert b"\xff\n" == (tmp_path / "a.txt").read_bytes()
    assert "[1.500 root@ctl01] SLURM_TIME_FORMAT=%s scontrol show\n    > a.txt" in story(tmp_path)


@pytest.mark.parametrize("said", [Said(1, b"x", b"no such job"), Said(0, b"", b"")])
def test_a_failed_command_leaves_no_file(tmp_path: Path, said: Said) -> None:
    """A command that fails or prints nothing has only an entry in `commands.txt`."""
    writer = RecordingWriter(tmp_path, Scripted({"show": said}))
    writer.keep("a.txt", "scontrol", "show")
    writer.close()

    assert ["commands.txt"] == [path.name for path in tmp_path.iterdir()]
    assert ("no such job" in story(tmp_path)) == bool(said.stderr)


def test_an_answer_with_the_same_records_is_not_stored_twice(tmp_path: Path) -> None:
    """Two JSON answers with the same jobs may differ in their heads, for example in a time."""
    answers = {
        "--json": Said(0, b'{"meta":1,"jobs":[7]}', b""),
        "--states=all": Said(0, b'{"meta":2,"jobs":[7]}', b""),
    }
    writer = RecordingWriter(tmp_path, Scripted(answers))
    writer.keep("a.json", "squeue", "--json")
    writer.keep("b.json", "squeue", "--json", "--states=all", unless_as="a.json")
    writer.close()

    assert not (tmp_path / "b.json").exists()
    assert "b.json (not kept: the same job records as a.json)" in story(tmp_path)


def test_every_command_is_recorded_in_a_file_of_its_moment(tmp_path: Path) -> None:
    """Answers of squeue, scontrol and sacct are stored in files named after the moment."""
    writer = RecordingWriter(tmp_path, Scripted({"--json": Said(1, b"", b"no plugin")}))
    jobs_at(writer, "2-running", [7, 8])

    assert {
        "scontrol-2-running.txt",
        "squeue-2-running.txt",
        "squeue-long-2-running.txt",
        "squeue-all-2-running.json",
        "sacct-2-running.txt",
    } == {path.name for path in tmp_path.iterdir()}


def test_a_command_that_changes_something_is_recorded_with_its_output(tmp_path: Path) -> None:
    """`commands.txt` has user, command line, output, exit status and stderr of sbatch."""
    said = Said(1, b"Submitted\n", b"sorry\n")
    run = Scripted({"job.sh": said})
    writer = RecordingWriter(tmp_path, run, clock=lambda: 2.0)
    writer.head("22.05.8", "")
    writer.command("sbatch", "-J", "a b", "job.sh", user="bob")
    writer.close()

    assert ["bob: sbatch -J a b job.sh"] == run.asked
    assert story(tmp_path).endswith(
        "[2.000 bob@ctl01] sbatch -J 'a b' job.sh\n"
        "    Submitted\n    exit status 1\n    stderr: sorry\n"
    )


def test_every_recorded_situation_has_a_unique_name() -> None:
    """The name of a situation is the name of its folder in the recording."""
    names = [each.name for each in (*RESOURCE_SCENARIOS, *JOB_SCENARIOS)]

    assert len(names) == len(set(names))


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Run one cluster for all tests of this module."""
    require_slurm()
    with Lab(Settings()) as cluster:
        yield cluster


@pytest.mark.slurm
def test_a_situation_is_recorded_on_a_real_cluster(lab: Lab, tmp_path: Path) -> None:
    """A job with untyped GPUs is stored with squeue's answers and its prolog's environment."""
    (scenario,) = (each for each in RESOURCE_SCENARIOS if each.name == "gpu-untyped")
    ScenarioRun(lab, tmp_path).record(scenario, 4_200_100)

    folder = tmp_path / "gpu-untyped"
    (record,) = json.loads((folder / "squeue.json").read_bytes())["jobs"]
    assert (4_200_100, ["gpu:2(IDX:0-1)"]) == (record["job_id"], record["gres_detail"])
    assert b"SLURM_JOB_ID=4200100\0" in (folder / "prolog.env").read_bytes()
    assert "|CD|COMPLETED|" in (folder / "squeue-ended.txt").read_text()


@pytest.mark.slurm
def test_a_snapshot_of_a_site_has_no_real_names(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names of users, accounts, jobs and nodes are replaced."""
    job = lab.jobs.sbatch("-J", "secret/plan", script="sleep 60", user="alice")
    lab.jobs.wait_state(job, "RUNNING")
    monkeypatch.setenv("PATH", f"{lab.root}/bin:/usr/bin:/bin")

    folder = snapshot(tmp_path)
    lab.jobs.cancel(job)

    reported = b"".join(path.read_bytes() for path in folder.iterdir())
    assert not [name for name in (b"alice", b"secret", b"n2cn", b"k1000") if name in reported]
    assert job in [
        each["job_id"] for each in json.loads((folder / "squeue.json").read_bytes())["jobs"]
    ]
