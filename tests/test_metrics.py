"""Metrics: from a snapshot to text and to a file."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from metrics_text import FULL, NOON, all_families, samples_of, samples_of_text

from spool.files.drain_counters import LATENCY_BOUNDS, DrainCounters, LatencyCounts
from spool.files.drain_state import DrainState
from spool.metrics.families import metric_families
from spool.metrics.output import MetricsPublisher, metrics_text, write_textfile
from spool.metrics.snapshot import MetricsSnapshot

SAMPLES = samples_of(metric_families(FULL))
COUNTERS = DrainCounters(
    events={"hook": {"start": 3}},
    answers={"start": {"rejected": 4}},
    retries={"stop": 5},
    latencies={
        "start": LatencyCounts(counts=(2, 0, 1, *(0 for _ in LATENCY_BOUNDS[3:]), 1), seconds=9.5)
    },
)


def value(name: str, samples: dict[str, float] = SAMPLES) -> float | None:
    """Return a sample without its prefix; None if there is none."""
    return samples.get(f"cc_slurm_sync_{name}")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("metrics_timestamp_seconds", NOON),
        ('check_status{check="runs"}', 1),
        ("drain_up", 1),
        ("drain_updated_timestamp_seconds", NOON - 1),
        ("token_expiry_timestamp_seconds", NOON + 14),
        ('spool_files{directory="todo"}', 9),
        ('spool_oldest_timestamp_seconds{directory="todo"}', NOON - 10),
        ('dead_letters{reason="bad_request"}', 10),
        ("spool_free_bytes", 11),
        ("spool_free_inodes", 12),
        ("spool_min_free_bytes", 13),
        ("spool_writable", 1),
        ("unreadable_files", 7),
        ("waiting_runs", 11),
        ("unreported_runs", 2),
        ("held_stops", 4),
        ("inquiries", 3),
        ("due_since_timestamp_seconds", NOON - 4),
        ("next_attempt_timestamp_seconds", NOON + 5),
        ("last_event_timestamp_seconds", NOON - 2),
        ("last_delivery_timestamp_seconds", NOON - 3),
        ('backend_up{connection="server"}', 0),
        ('backend_up{connection="starts"}', 0),
        ('backend_up{connection="stops"}', 1),
        ('halted{connection="server",reason="token_refused"}', 1),
        ('halted{connection="starts",reason=""}', 0),
        ('slurm_up{source="controller"}', 1),
        ('slurm_up{source="accounting"}', 0),
        ("sweep_started_timestamp_seconds", NOON - 60),
        ("sweep_duration_seconds", 5),
        ("sweep_last_success_timestamp_seconds", NOON - 55),
        ("sweep_refused", 1),
        ("sweep_held_stops", 8),
        ('sweep_differences{kind="start"}', 1),
        ('sweep_refusals_total{guard="fewer"}', 2),
        ('nodes{state="idle"}', 15),
        ('nodes_left_out{reason="unknown"}', 16),
        ("node_states_last_success_timestamp_seconds", NOON - 320),
        ("node_states_duration_seconds", 1.5),
        ("node_states_failed_rounds", 17),
    ],
)
def test_each_value_has_its_metric(name: str, expected: float) -> None:
    """The metric has its documented name and base units."""
    assert expected == value(name)


def test_versions_are_labels_of_one_metric() -> None:
    """The labels are the versions of this program, Slurm and cc-backend."""
    (found,) = (name for name in SAMPLES if name.startswith("cc_slurm_sync_build_info"))

    assert 'slurm="25.11.1"' in found
    assert 'cc_backend="1.5.4"' in found


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ('events_total{kind="start",source="hook"}', 3),
        ('events_total{kind="retry",source="command"}', 0),
        ('deliveries_total{outcome="rejected",request="start"}', 4),
        ('deliveries_total{outcome="delivered",request="stop"}', 0),
        ('retries_total{request="stop"}', 5),
        ('hook_to_accepted_seconds_bucket{le="0.1",request="start"}', 2),
        ('hook_to_accepted_seconds_bucket{le="0.5",request="start"}', 3),
        ('hook_to_accepted_seconds_bucket{le="+Inf",request="start"}', 4),
        ('hook_to_accepted_seconds_sum{request="start"}', 9.5),
        ('hook_to_accepted_seconds_count{request="stop"}', 0),
    ],
)
def test_counters_begin_at_zero(name: str, expected: float) -> None:
    """Without a value of 0 at the start Prometheus would miss the first increase."""
    snapshot = MetricsSnapshot(time=NOON, drain=DrainState(counters=COUNTERS))

    assert expected == value(name, samples_of(metric_families(snapshot)))


def test_the_state_of_a_drain_that_crashed_is_not_shown() -> None:
    """The state in drain.json may be outdated; the counters are still shown."""
    drain = replace(FULL.drain, counters=COUNTERS)
    found = samples_of(metric_families(replace(FULL, is_running=False, drain=drain)))
    gone = ("backend_up", "halted", "slurm_up", "waiting_runs", "spool_writable", "due_since")

    assert not [name for name in found if name.removeprefix("cc_slurm_sync_").startswith(gone)]
    assert (0, 3) == (
        value("drain_up", found),
        value('events_total{kind="start",source="hook"}', found),
    )


def test_the_state_of_a_drain_that_cron_starts_is_shown() -> None:
    """A drain that cron starts runs only for a short time, so its last state counts."""
    drain = replace(FULL.drain, once=True)
    found = samples_of(metric_families(replace(FULL, is_running=False, drain=drain)))

    assert 1 == value('backend_up{connection="stops"}', found)


def test_before_the_first_drain_no_state_of_a_drain_is_shown() -> None:
    """No drain was ever started: the metrics are the current time and `drain_up`."""
    found = samples_of(metric_families(MetricsSnapshot(time=NOON)))
    gauges = {name for name in found if "{" not in name}

    assert {"cc_slurm_sync_metrics_timestamp_seconds", "cc_slurm_sync_drain_up"} == gauges


def test_every_name_and_label_follows_the_conventions() -> None:
    """All metrics have one prefix, a help text, and labels with few values."""
    families = all_families()
    labels = {label for family in families for each in family.samples for label in each.labels}

    assert all(re.fullmatch("cc_slurm_sync_[a-z_]+", family.name) for family in families)
    assert all(family.documentation and family.samples for family in families)
    assert not {"user", "job", "job_id", "host", "node", "account", "url"} & labels


# ---- as text, in a file


def test_the_resource_usage_of_the_drain_is_shown() -> None:
    """The metrics have CPU time, memory and start time of the drain's process."""
    found = samples_of_text(metrics_text(lambda: replace(FULL, pid=os.getpid())).decode())

    assert 0 < (value("process_resident_memory_bytes", found) or 0)
    assert 0 < (value("process_cpu_seconds_total", found) or 0)
    assert NOON < (value("process_start_time_seconds", found) or 0)


def test_the_metrics_file_is_replaced_and_readable_for_all(tmp_path: Path) -> None:
    """node_exporter runs as another user; no temporary file is left."""
    path = tmp_path / "x.prom"
    os.umask(0o077)
    (tmp_path / f".x.prom.{os.getpid()}.tmp").write_text("of a process that was killed")
    for text in (b"old", b"new"):
        write_textfile(path, text)

    assert (b"new", 0o644) == (path.read_bytes(), stat.S_IMODE(path.stat().st_mode))
    assert [path] == list(tmp_path.iterdir())


def test_a_link_at_the_temporary_name_is_not_followed(tmp_path: Path) -> None:
    """Other users may have write access to the directory of the metrics file."""
    victim = tmp_path / "victim"
    victim.write_text("kept")
    (tmp_path / f".x.prom.{os.getpid()}.tmp").symlink_to(victim)
    write_textfile(tmp_path / "x.prom", b"new")

    assert "kept" == victim.read_text()


def test_an_unwritable_metrics_file_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The warning lasts until the metrics file can be written again."""
    path = tmp_path / "absent" / "x.prom"
    publisher = MetricsPublisher(lambda: FULL, textfile=path, listen=None)
    for _ in range(2):
        publisher.write(path)
    during = publisher.warnings()
    path.parent.mkdir()
    publisher.write(path)
    expected = f"metrics.textfile: {path} cannot be written: No such file or directory"

    assert ((expected,), ()) == (during, publisher.warnings())
    assert [expected] == [record.getMessage() for record in caplog.records]


def test_an_internal_error_of_the_metrics_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The metrics are computed two times, each with an error; only the first error is logged."""
    path = tmp_path / "x.prom"

    def read() -> MetricsSnapshot:
        raise OverflowError

    publisher = MetricsPublisher(read, textfile=path, listen=None)
    for _ in range(2):
        publisher.write(path)
    (warning,) = publisher.warnings()

    assert f"metrics.textfile: {path} cannot be written: internal error" in warning
    assert [OverflowError] == [each.exc_info[0] for each in caplog.records if each.exc_info]
