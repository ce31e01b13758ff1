"""The section `metrics` of the configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_site import CommandSite

from spool.config import load, load_checked
from spool.errors import ConfigError


@pytest.fixture
def site(tmp_path: Path) -> CommandSite:
    """Return a site."""
    return CommandSite(tmp_path / "site")


def section(site: CommandSite, **keys: Any) -> CommandSite:
    """Set keys of the section."""
    site.document["metrics"] = keys
    site.config.write_text(json.dumps(site.document))
    return site


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (9199, ("127.0.0.1", 9199)),
        ("0.0.0.0:9199", ("0.0.0.0", 9199)),  # noqa: S104 - only parsed
        ("[::1]:9199", ("::1", 9199)),
        ("ctl01.example.org:65535", ("ctl01.example.org", 65535)),
        (None, None),
    ],
)
def test_metrics_listen_is_a_port_or_host_and_port(
    site: CommandSite, value: Any, expected: tuple[str, int] | None
) -> None:
    """A port alone, such as 9199, means 127.0.0.1:9199; IPv6 addresses have brackets."""
    assert expected == load(section(site, listen=value).config).metrics.listen


@pytest.mark.parametrize(
    "value", [True, 0, 80, 65536, 9199.5, "9199", "", ":9199", "a b:9199", "h:99999", "http://h:1"]
)
def test_an_invalid_metrics_listen_is_refused(site: CommandSite, value: Any) -> None:
    """Examples are a port below 1024 or above 65535, a port as a string, and a URL."""
    with pytest.raises(ConfigError) as refused:
        load(section(site, listen=value).config)

    (problem,) = refused.value.problems
    assert "metrics.listen" == problem.path


def test_a_file_that_node_exporter_does_not_read_is_refused(site: CommandSite) -> None:
    """The textfile collector of node_exporter reads only files named *.prom."""
    with pytest.raises(ConfigError, match=r"ends with \.prom"):
        load(section(site, textfile="/run/x.txt").config)


@pytest.mark.parametrize(("parent", "count"), [("", 0), ("absent", 1)])
def test_a_missing_metrics_directory_is_a_warning(
    site: CommandSite, parent: str, count: int
) -> None:
    """The directory of metrics.textfile may be missing: deliveries work without metrics."""
    path = site.root / parent / "x.prom"
    found = load_checked(section(site, textfile=str(path)).config).warnings

    assert count == sum("metrics.textfile" in warning for warning in found)
