"""`cc-spool status`, `list` and `show` with hostile texts and damaged files."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from command_site import NOON, REFUSED, CommandSite, run_of
from command_views import EVENT, HALTED
from hypothesis import given, settings
from hypothesis import strategies as st

from spool.files.layout import Directory

HOSTILE = "\x1b[31m\n\r\u202e"


@pytest.fixture
def site(tmp_path: Path) -> CommandSite:
    """Return a site with an empty spool."""
    return CommandSite(tmp_path / "site")


@pytest.mark.parametrize("verb", [["list"], ["status"], ["show", "5"], ["list", "--json"]])
def test_text_from_outside_is_escaped(site: CommandSite, verb: list[str]) -> None:
    """Text from users, from the server, in file names and in state files is escaped."""
    error = replace(REFUSED, message=HOSTILE, hint=HOSTILE, request=HOSTILE, reason=HOSTILE)
    run = run_of(5, reason=HOSTILE, reported=False, last_error=error, cluster=HOSTILE)
    job = replace(run.job, user=HOSTILE, name=HOSTILE)
    site.put(Directory.TODO, replace(run, job=job))
    site.put(Directory.DEAD, replace(run, job=job, start_time=NOON + 1))
    (site.spool / "new" / f"1-start-5-{HOSTILE}").touch()
    site.write_drain_state(destination=HALTED | {"reason": HOSTILE})
    (site.state / "sweep.json").write_text(json.dumps({"drift": {HOSTILE: HOSTILE}}))
    said = site.call(*verb)

    assert 0 == said.code
    assert (said.out + said.err).replace("\n", "").isprintable()
    assert (said.out + said.err).isascii()


def test_a_file_can_be_shown_by_its_escaped_name(site: CommandSite) -> None:
    """`list` prints the escaped name as the ID of the file."""
    (site.spool / "new" / HOSTILE).touch()
    (listed,) = site.call("list", "--json").json

    assert 0 == site.call("show", listed["id"]).code


_KEYS = st.sampled_from(
    [
        *("pid", "updated", "destination", "server", "health", "since", "reason", "next_probe"),
        *("version", "dialect", "slurm_silent_since", "disk_full", "unknown_hosts"),
        *("name", "from", "time", "hint", "finished", "refused", "guards", "drift", "job"),
    ]
)
NAMES = st.one_of(
    st.sampled_from([EVENT, "5-100.json", "5-100.json.why", "odd.why", "9-1.json", "2-x"]),
    st.binary(min_size=1, max_size=30)
    .map(os.fsdecode)
    .filter(lambda name: "/" not in name and "\0" not in name and name not in {".", ".."}),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(_KEYS | st.text(), inner),
    max_leaves=10,
)
CONTENTS = st.binary(max_size=50) | JSON.map(lambda value: json.dumps(value).encode())


@settings(max_examples=25, deadline=None)
@given(
    files=st.dictionaries(
        st.tuples(st.sampled_from(["new", "todo", "open", "dead"]), NAMES), CONTENTS, max_size=6
    ),
    states=st.fixed_dictionaries({}, optional={"drain.json": CONTENTS, "sweep.json": CONTENTS}),
)
def test_damaged_files_do_not_break_the_commands(
    files: dict[tuple[str, str], bytes], states: dict[str, bytes]
) -> None:
    """`status`, `list`, `show` exit with 0 for any file names and contents in spool and state."""
    with tempfile.TemporaryDirectory() as root:
        site = CommandSite(Path(root) / "site")
        for (directory, name), contents in files.items():
            (site.spool / directory / name).write_bytes(contents)
        for name, contents in states.items():
            (site.state / name).write_bytes(contents)
        said = [site.call(*words) for words in (["status"], ["list"], ["list", "--json"])]
        said += [site.call("show", "--", each["id"]) for each in said[-1].json]
        dead_letters = {name for directory, name in files if not _is_reason(directory, name)}

    assert {0} == {each.code for each in said}
    assert all((each.out + each.err).replace("\n", "").isprintable() for each in said)
    assert len(dead_letters) <= len(said) - 3


def _is_reason(directory: str, name: str) -> bool:
    return directory == "dead" and name.endswith(".why")
