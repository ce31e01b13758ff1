"""`cc-spool metrics`, and the metrics of drain and sweep."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_site import NOON, REFUSED, CommandSite, run_of
from faulty_slurm import ListedRun
from metrics_text import samples_of_text
from stub_server import Model, StubServer
from sweep_site import HOUR
from sweep_site import site as sweep_site

from spool.commands import read_metrics
from spool.config import load
from spool.files.file_times import LISTED
from spool.files.layout import Directory
from spool.files.lock import take_lock
from spool.identity import MaskedToken

HERE = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    """End a drain that hangs."""
    signal.alarm(60)
    yield
    signal.alarm(0)


@pytest.fixture
def site(tmp_path: Path) -> CommandSite:
    """Return a site with an empty spool."""
    return CommandSite(tmp_path / "site")


def metrics(site: CommandSite) -> dict[str, float]:
    """Return the metrics that the command prints, without the prefix."""
    said = site.call("metrics")
    assert (0, "") == (said.code, said.err), said.err
    return without_prefix(said.out)


def without_prefix(text: str) -> dict[str, float]:
    """Return the samples of a text by their names without the prefix."""
    found = samples_of_text(text)
    return {name.removeprefix("cc_slurm_sync_"): value for name, value in found.items()}


def test_the_spool_is_counted_without_a_drain(site: CommandSite) -> None:
    """The metrics have the files per directory, the oldest of each, and the free space."""
    site.put_event(f"1-start-5-{NOON}-0-9", time=NOON + 5)
    site.put(Directory.TODO, run_of(6))
    for job_id in (7, 8):
        site.put(Directory.OPEN, run_of(job_id, started=NOON + job_id))
    found = metrics(site)

    assert [1, 1, 2, 0] == [found[f'spool_files{{directory="{d}"}}'] for d in LISTED]
    oldest = {d: found.get(f'spool_oldest_timestamp_seconds{{directory="{d}"}}') for d in Directory}
    assert {"new": NOON + 5, "todo": NOON, "open": NOON + 7, "dead": None, "tmp": None} == oldest
    assert min(found["spool_free_bytes"], found["spool_free_inodes"]) > 0
    assert 0 == found["drain_up"]


def test_the_last_round_of_node_states_is_shown(site: CommandSite) -> None:
    """The numbers are read from nodes.json, whichever command wrote it."""
    last = {"tried": NOON, "accepted": NOON, "states": {"idle": 3}, "left_out": {"unknown": 1}}
    (site.state / "nodes.json").write_text(json.dumps(last))
    found = metrics(site)

    assert (3, 1, NOON) == (
        found['nodes{state="idle"}'],
        found['nodes_left_out{reason="unknown"}'],
        found["node_states_last_success_timestamp_seconds"],
    )


@pytest.mark.parametrize(
    ("name", "contents"),
    [
        ("sweep.json", '{"started": 1, "finished": 1e400}'),
        ("sweep.json", '{"started": 1, "drift": {"\\ud800": 1}}'),
        ("drain.json", '{"slurm_release": "\\ud800"}'),
        ("drain.json", f'{{"once": true, "inquiries": {10**400}}}'),
        ("nodes.json", '{"tried": 1, "states": {"\\ud800": 1}}'),
    ],
)
def test_a_damaged_state_file_does_not_hide_other_metrics(
    site: CommandSite, name: str, contents: str
) -> None:
    """The state file has a number out of range, or text that UTF-8 cannot encode."""
    (site.state / name).write_text(contents)

    assert 0 == metrics(site)["drain_up"]


def test_metrics_of_checks_agree_with_cc_spool_check(site: CommandSite) -> None:
    """If several checks have the same name, the metric has the worst status."""
    site.add_dead_letter("odd name")
    site.write_drain_state(health={"state": "up"}, warnings=["one", "two"])
    lock = take_lock(site.state / "drain.lock", site.state / "drain.json")
    try:
        found = metrics(site)
        checks = site.call("check", "--json").json["checks"]
    finally:
        lock.release()
    codes = {"OK": 0, "WARNING": 1, "CRITICAL": 2, "UNKNOWN": 3}
    expected = {check["name"]: codes[check["verdict"]] for check in checks}

    assert expected == {
        name.split('"')[1]: value for name, value in found.items() if name.startswith("check_st")
    }
    assert {"dead letters": 1, "drain warning": 1}.items() <= expected.items()


def test_a_running_drain_is_shown_with_its_process(site: CommandSite) -> None:
    """`cc-spool metrics` shows the drain's state and its memory usage."""
    site.write_drain_state(health={"state": "up"}, last_delivery=NOON, slurm_release="25.11.1")
    lock = take_lock(site.state / "drain.lock", site.state / "drain.json")
    try:
        found = metrics(site)
    finally:
        lock.release()

    assert (1, 1, NOON) == (
        found["drain_up"],
        found['backend_up{connection="server"}'],
        found["last_delivery_timestamp_seconds"],
    )
    assert found["process_resident_memory_bytes"] > 0


def test_dead_letters_are_counted_by_reason(site: CommandSite) -> None:
    """Each reason is a word of a fixed set."""
    for job_id, error in (
        (
            1,
            REFUSED.__class__(
                time=NOON, call="start", outcome="rejected", reason="bad_request", message=""
            ),
        ),
        (2, REFUSED),
        (3, None),
    ):
        site.put(Directory.DEAD, run_of(job_id, last_error=error))
    site.add_dead_letter(f"1-start-5-{NOON}-0-9", b"end\n")
    site.add_dead_letter("odd name")
    found = {name: value for name, value in metrics(site).items() if "dead_letters" in name}

    assert {
        'dead_letters{reason="bad_request"}': 1,
        'dead_letters{reason="other"}': 2,
        'dead_letters{reason="event"}': 1,
        'dead_letters{reason="unusable_file"}': 1,
    } == found


def test_many_dead_letters_are_read_in_batches(
    site: CommandSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dead letters of the next batch count as `not_read`; removed ones are not counted."""
    monkeypatch.setattr(read_metrics, "MAX_READ", 2)
    for job_id in range(1, 4):
        site.put(Directory.DEAD, run_of(job_id, last_error=REFUSED))
    config = load(site.config)
    read = read_metrics.SnapshotReader(config, MaskedToken(config))
    first, second = read().dead_letters, read().dead_letters
    (site.spool / "dead" / f"1-{NOON}.json").unlink()

    assert ({"other": 2, "not_read": 1}, {"other": 3}) == (first, second)
    assert {"other": 2} == read().dead_letters


def test_values_that_cannot_be_read_are_missing(site: CommandSite) -> None:
    """Spool, token and sweep cannot be read; the other values are shown."""
    (site.state / "sweep.json").write_text("[")
    site.token.unlink()
    config = load(site.config)
    (site.spool / "dead").rmdir()
    found = read_metrics.SnapshotReader(config, MaskedToken(config))()

    assert (None, None, {}) == (found.sweep, found.token_expires_at, found.directories)
    assert found.checks["configuration"] == 2


def test_the_last_sweep_is_shown(tmp_path: Path) -> None:
    """The metrics file has the differences, `sweep_refused 0` and the time of the last success."""
    with sweep_site(tmp_path) as made:
        path = made.root / "x.prom"
        made.document["metrics"] = {"textfile": str(path)}
        made.write()
        made.run(ListedRun(7, made.now - 2 * HOUR))
        made.sweep("apply", "--wait", "0")
        found = without_prefix(path.read_text())

    assert 1 == found['sweep_differences{kind="start"}']
    assert 0 == found["sweep_refused"]
    assert found["sweep_last_success_timestamp_seconds"] >= made.now


def test_a_refused_sweep_is_counted_and_is_no_success(tmp_path: Path) -> None:
    """A sweep refuses to change anything without a complete job list of squeue."""
    with sweep_site(tmp_path) as made:
        made.run(ListedRun(7, made.now - 2 * HOUR))
        made.sweep("apply", "--wait", "0")
        before = metrics(made)
        made.say(squeue=1)
        for _ in range(2):
            made.sweep("apply", "--wait", "0")
        after = metrics(made)
    success = "sweep_last_success_timestamp_seconds"
    refusals = {name: n for name, n in after.items() if name.startswith("sweep_refusals_total")}

    assert (before[success], 1) == (after[success], after["sweep_refused"])
    assert 2 in refusals.values()


def test_a_drain_that_ends_writes_that_it_is_down(site: CommandSite, tmp_path: Path) -> None:
    """At its end the drain writes `drain_up 0` to the metrics file: no other process would."""
    path = tmp_path / "x.prom"
    site.document["metrics"] = {"textfile": str(path)}
    with StubServer(Model(token="TOKEN:api")) as server:
        site.token.write_text("TOKEN:api\n")
        site.document["cc-backend"]["host"] = server.url
        site.document["slurm"] = dict.fromkeys(("squeue", "sacct", "scontrol"), "/bin/false")
        site.write()
        site.put(Directory.TODO, run_of(5))
        assert 0 == site.call("drain", "--once").code
    found = without_prefix(path.read_text())

    assert (0, 1) == (
        found["drain_up"],
        found['deliveries_total{outcome="delivered",request="start"}'],
    )


def test_an_error_of_the_metrics_is_a_warning_of_check(site: CommandSite) -> None:
    """The port of `metrics.listen` is in use: `cc-spool check` shows the warning of the drain."""
    with socket.create_server(("127.0.0.1", 0)) as taken, StubServer() as server:
        port = taken.getsockname()[1]
        site.document["metrics"] = {"listen": port}
        site.document["cc-backend"]["host"] = server.url
        site.document["slurm"] = dict.fromkeys(("squeue", "sacct", "scontrol"), "/bin/false")
        site.write()
        site.call("drain", "--once")
    said = site.call("check", "--json").json["checks"]

    assert f"metrics.listen: cannot listen on 127.0.0.1:{port}: Address already in use" in [
        check["text"] for check in said if check["name"] == "drain warning"
    ]


def test_without_the_setting_prometheus_client_is_not_loaded(site: CommandSite) -> None:
    """Drain and sweep save several MiB of memory if `metrics` is not configured."""
    script = (
        "import sys; from spool.commands import drain, metrics; import sweeper.commands.apply\n"
        "from spool.config import load; config = load(__import__('pathlib').Path(sys.argv[1]))\n"
        "with metrics.publish_metrics(config, None) as lines: lines()\n"
        "metrics.write_metrics(config, None); print('prometheus_client' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, site.config],
        capture_output=True,
        text=True,
        check=True,
        cwd=HERE,
    )

    assert "False\n" == done.stdout


def test_the_token_is_in_no_metric(site: CommandSite) -> None:
    """Only the time when the token expires is shown."""
    said = site.call("metrics")

    assert site.token.read_text().strip() not in said.out
    assert time.time() < without_prefix(said.out)["token_expiry_timestamp_seconds"]
    assert str(os.getpid()) not in said.err
