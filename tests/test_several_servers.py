"""Two instances on one controller, set up as docs/several-servers.md says."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from command_site import TOKEN, CommandSite
from drain_process import DrainProcess, until
from metrics_text import samples_of_text
from stub_server import Model, StubServer

from spool.files.layout import Directory

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/several-servers.md").read_text()


def stub_of(hooks: Path, kind: str, spool: Path) -> Path:
    """Return a copy of a stub for another spool, made by the command in the documentation."""
    (expression,) = re.findall(r"sed '(.*)' ", PAGE)
    expression = expression.replace("/var/spool/cc-slurm-sync-test", str(spool))
    command = ["sed", expression, str(hooks / f"{kind}_slurmctld")]
    made = hooks / f"{kind}_slurmctld-{spool.parent.name}"
    made.write_bytes(subprocess.run(command, capture_output=True, check=True).stdout)
    made.chmod(0o755)
    return made


def test_the_hooks_of_two_instances_write_an_event_each(tmp_path: Path) -> None:
    """The stubs are made by the documented `sed` command; each writes to its own spool."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("prolog_slurmctld", "epilog_slurmctld", "spool_event"):
        (hooks / name).write_bytes((ROOT / "hooks" / name).read_bytes())
    sites = [CommandSite(tmp_path / name) for name in ("one", "two")]
    for site in sites:
        for kind in ("prolog", "epilog"):
            stub = stub_of(hooks, kind, site.spool)
            environment = {"SLURM_JOB_ID": "7", "SLURM_JOB_START_TIME": "100"}
            subprocess.run([stub], env=environment, check=True)

    events = [[name.split("-")[1:3] for name in site.names("new")] for site in sites]
    assert [[["start", "7"], ["stop", "7"]]] * 2 == events


def test_a_server_that_is_down_delays_only_its_own_instance(tmp_path: Path) -> None:
    """Each of the two drains delivers to its own cc-backend, one of which is stopped."""
    with (
        StubServer(Model(version="1.4.4", token=TOKEN)) as one,
        StubServer(Model(version="1.5.4", token=TOKEN)) as two,
        DrainProcess(tmp_path / "one", one) as first,
        DrainProcess(tmp_path / "two", two) as second,
    ):
        until(lambda: first.status()["server"] and second.status()["server"])
        two.close()
        for drain in (first, second):
            drain.slurm.start({"n2cn0101": [0, 1]})
        until(lambda: second.site.names("todo") and second.status()["down"])
        until(lambda: first.site.names("open"))

    assert (["running"], [], 1) == (
        [*first.states().values()],
        first.site.names("todo"),
        len(second.site.names("todo")),
    )


def test_the_page_lists_the_directories_of_a_spool() -> None:
    """docs/several-servers.md creates all of them, because the drain does not."""
    made = " ".join(re.findall(r"install -d .* (new|tmp.*dead)", PAGE)).split()

    assert sorted(Directory) == sorted(made)


def metrics_of(site: CommandSite, state: Path) -> set[str]:
    """Return names and labels of what an instance with a state directory prints."""
    state.mkdir()
    site.document["spool"]["state_directory"] = str(state)
    site.write()
    return {*samples_of_text(site.call("metrics").out)}


def test_two_instances_have_no_metric_sample_in_common(tmp_path: Path) -> None:
    """node_exporter would drop one of two equal samples."""
    site = CommandSite(tmp_path / "site")
    first = metrics_of(site, tmp_path / "cc-slurm-sync")
    second = metrics_of(site, tmp_path / "cc-slurm-sync-test")

    assert not any("installation=" in name for name in first)
    assert all('installation="test"' in name for name in second)
    assert len(first) == len(second) > 0


def test_the_page_gives_the_second_instance_its_own_metrics_file() -> None:
    """With a copy of the first configuration, both instances would write the same file."""
    (value,) = re.findall(r'"metrics": (\{.*\})', PAGE)

    assert {"textfile", "listen"} == json.loads(value).keys()
    assert json.loads(value)["textfile"].endswith("/cc-slurm-sync-test.prom")
