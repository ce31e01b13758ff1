"""A real Prometheus and node_exporter beside a real drain, a stand-in for Slurm and a stub server.

The alert rules are those of `deploy/prometheus` with the same expressions and shorter durations.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import yaml
from alert_rules import RULES
from drain_process import ROOT, TOKEN, DrainProcess
from free_port import free_port
from stub_server import Model, StubServer

PATIENCE_SECONDS = 90.0
SHORTER = {
    "CcSlurmSyncMetricsStale": ("> 300", "> 6"),
    "CcSlurmSyncSlow": ("[1h]", "[20s]"),
    "CcSlurmSyncHooksSilent": ("[6h]", "[20s]"),
}
"""The durations in expressions to shorten, by alert."""
DRAIN = (
    "import sys; from spool.cli import main; from spool.metrics import output\n"
    "output.WRITE_SECONDS = 1.0; sys.exit(main(sys.argv[1:]))"
)
"""A drain that writes its metrics every second instead of every ten seconds."""
SCRAPE = """\
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: node
    static_configs: [{{targets: ["127.0.0.1:{node}"]}}]
  - job_name: drain
    static_configs: [{{targets: ["127.0.0.1:{drain}"]}}]
"""


def short_rules(path: Path) -> Path:
    """Write the alert rules without `for` and with shorter durations; return the path."""
    document = yaml.safe_load(RULES.read_text())
    for rule in document["groups"][0]["rules"]:
        del rule["for"]
        if rule["alert"] in SHORTER:
            old, new = SHORTER[rule["alert"]]
            assert old in rule["expr"]
            rule["expr"] = rule["expr"].replace(old, new)
    path.write_text(json.dumps(document))  # JSON is YAML
    return path


class MonitoredDrain(DrainProcess):
    """A drain that writes or serves metrics."""

    def __init__(self, root: Path, server: StubServer, **metrics: Any) -> None:
        super().__init__(root, server)
        self.site.document["metrics"] = metrics
        self.site.document["sweep"] = {"grace_seconds": 0}
        self.site.write()
        self.sweep_ended(time.time())

    @property
    def arguments(self) -> list[str]:
        """Return the command line of the drain."""
        return [sys.executable, "-c", DRAIN, "drain", "-c", str(self.site.config)]

    def sweep_ended(self, at: float) -> None:
        """Write the state file of a sweep that found no differences."""
        document = {
            **dict.fromkeys(("started", "finished", "succeeded"), at),
            "pid": 1,
            "mark": int(at),
            "drift": dict.fromkeys(("start", "stop", "close", "report"), 0),
        }
        (self.site.state / "sweep.json").write_text(json.dumps(document))

    def sweep(self) -> int:
        """Run `cc-sweep apply`; return its exit code."""
        command = [sys.executable, "-m", "sweeper.cli", "apply", "-c", str(self.site.config)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode

    def kill(self) -> None:
        """Kill the drain with SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)

    def late_hook(self, seconds: float) -> int:
        """Start a job whose event looks old when the drain reads it; return its id."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        job_id = self.slurm.start({"n2cn0101": [0, 1]})
        (event,) = (self.site.spool / "new").iterdir()
        at = time.time() - seconds
        os.utime(event, (at, at))
        self.process.send_signal(signal.SIGCONT)
        return job_id


class PrometheusLab:
    """Prometheus, node_exporter and a drain that run during the block."""

    def __init__(self, root: Path) -> None:
        self.textfile = root / "textfile" / "cc-slurm-sync.prom"
        self.textfile.parent.mkdir()
        self.server = StubServer(Model(version="1.4.4", token=TOKEN))
        self.drain = MonitoredDrain(root, self.server, textfile=str(self.textfile))
        self.drain_port = free_port()
        self._root = root
        self._node, self._port = free_port(), free_port()
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self.server.__enter__()
        self.drain.start()
        config = self._root / "prometheus.yml"
        rules = short_rules(self._root / "rules.yml")
        config.write_text(SCRAPE.format(rules=rules, node=self._node, drain=self.drain_port))
        self._run(
            "prometheus-node-exporter",
            "--collector.disable-defaults",
            "--collector.textfile",
            f"--collector.textfile.directory={self.textfile.parent}",
            f"--web.listen-address=127.0.0.1:{self._node}",
        )
        self._run(
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={self._root / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.drain.__exit__()
        for process in self._processes:
            process.terminate()
            process.wait(PATIENCE_SECONDS)
        self.server.close()

    def _run(self, *command: str) -> None:
        with (self._root / f"{command[0]}.log").open("wb") as log:
            self._processes.append(subprocess.Popen(command, stdout=log, stderr=log))

    def ask(self, path: str, **query: str) -> Any:
        """Return the data of Prometheus' answer to a query; None while it does not answer."""
        url = f"http://127.0.0.1:{self._port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except OSError:
            return None

    def firing(self) -> set[str] | None:
        """Return the names of the firing alerts without their prefix; None: not known yet."""
        data, rules = self.ask("alerts"), self.ask("rules")
        if data is None or rules is None or not self.series("up"):
            return None
        if any(rule["health"] != "ok" for rule in rules["groups"][0]["rules"]):
            return None  # not evaluated yet
        alerts = (each for each in data["alerts"] if each["state"] == "firing")
        return {each["labels"]["alertname"].removeprefix("CcSlurmSync") for each in alerts}

    def series(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an expression at this moment."""
        data = self.ask("query", query=expression)
        found: list[dict[str, Any]] = [] if data is None else data["result"]
        return found

    def wait(self, condition: Callable[[set[str]], bool], what: str) -> None:
        """Wait until the set of firing alerts fulfils a condition.

        Raises:
            AssertionError: it did not in time; the message names the firing alerts.
        """
        until = time.monotonic() + PATIENCE_SECONDS
        seen: set[str] | None = None
        while time.monotonic() < until:
            seen = self.firing()
            if seen is not None and condition(seen):
                return
            time.sleep(0.2)
        log = self.drain.log.read_text()[-2000:]
        raise AssertionError(f"{what}; firing: {seen}; the drain said: {log}")


__all__ = ["MonitoredDrain", "PrometheusLab"]
