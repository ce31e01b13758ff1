"""Checks that spool and state directory exist, are safe and are on one local file system."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from config_site import TOPOLOGY, config_of, problems, site, written

from spool.config import load_checked
from spool.config.paths import check_paths, file_system
from spool.errors import ConfigError


def test_a_complete_site_has_no_problem(tmp_path: Path) -> None:
    """Directories, token, CA file and topology file exist."""
    (tmp_path / "ca.pem").write_text("")
    (tmp_path / "cluster.json").write_text(json.dumps(TOPOLOGY))
    document = site(
        tmp_path,
        cc_backend={"ca_file": f"{tmp_path}/ca.pem"},
        topology_files=[f"{tmp_path}/cluster.json"],
        slurm={"state_save_location": f"{tmp_path}/slurm"},
    )

    config = load_checked(written(tmp_path, document), temporary=())

    assert ((), ()) == check_paths(config, temporary=())


def test_problems_of_contents_and_of_files_come_in_one_report(tmp_path: Path) -> None:
    """The configuration has five different mistakes, and one error names all of them."""
    document = site(tmp_path, cc_backend={"host": "https://h/"}, unknown=1, drain={"requeue": 1})
    document["spool"]["directory"] = f"{tmp_path}/none"
    (tmp_path / "token").chmod(0o644)

    with pytest.raises(ConfigError) as caught:
        load_checked(written(tmp_path, document), temporary=())

    assert {
        "unknown",
        "drain.requeue",
        "cc-backend.host",
        "cc-backend.token_file",
        "spool.directory",
    } == {each.path for each in caught.value.problems}


def test_a_refused_key_has_no_second_problem(tmp_path: Path) -> None:
    """The default that replaces a refused value of a key is not checked."""
    document = site(tmp_path, cc_backend={"token_file": "token"})
    document["spool"] |= {"directory": 5, "state_directory": "state"}

    with pytest.raises(ConfigError) as caught:
        load_checked(written(tmp_path, document), temporary=())

    assert ["cc-backend.token_file", "spool.directory", "spool.state_directory"] == [
        each.path for each in caught.value.problems
    ]


def test_warnings_of_contents_and_of_files_are_kept(tmp_path: Path) -> None:
    """A spool in memory (tmpfs) gives a warning besides that of the key node_regex."""
    document = site(tmp_path, node_regex="x")
    mounts = tmp_path / "mounts"
    mounts.write_text("1 1 0:1 / / rw - tmpfs none rw\n")
    config = load_checked(written(tmp_path, document), temporary=())

    found, warnings = check_paths(config, temporary=(), mounts=mounts)

    assert () == found
    assert ["spool.directory", "spool.state_directory"] == [w.partition(":")[0] for w in warnings]
    assert config.warnings[0].startswith("node_regex")


def test_temporary_directories_are_refused(tmp_path: Path) -> None:
    """The service would have another /tmp; a link to a directory there is refused, too."""
    config = replace(config_of(tmp_path), path=Path("/etc/cc-slurm-sync/config.json"))
    (tmp_path / "link").symlink_to(tmp_path / "spool")
    linked = replace(config, spool=replace(config.spool, directory=tmp_path / "link"))

    for each in (config, linked):
        found, _ = check_paths(each, temporary=[tmp_path])
        assert ["spool.directory", "spool.state_directory"] == [problem.path for problem in found]


def test_a_trial_in_a_temporary_directory_gives_a_warning(tmp_path: Path) -> None:
    """The configuration file is there, too, so the process sees the same directory."""
    config = load_checked(written(tmp_path, site(tmp_path)), temporary=[tmp_path, Path("/other")])

    assert [
        f"spool.directory: the path is in {tmp_path}; use such a path only for a trial",
        f"spool.state_directory: the path is in {tmp_path}; use such a path only for a trial",
    ] == list(config.warnings)


def test_a_spool_that_is_slurmctlds_directory_is_refused(tmp_path: Path) -> None:
    """slurm.state_save_location is a link to the spool, so the two paths are one directory."""
    (tmp_path / "saved").symlink_to(tmp_path / "spool")
    config = config_of(tmp_path, slurm={"state_save_location": f"{tmp_path}/saved"})

    assert ["spool.directory: is inside slurm.state_save_location"] == problems(config)


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    """The check of spool.directory reports a link to itself and raises no other error."""
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    config = config_of(tmp_path, spool={"directory": f"{tmp_path}/loop"} | _state(tmp_path))

    (problem,) = problems(config)

    assert problem.startswith(f"spool.directory: {tmp_path}/loop cannot be used: Too many levels")


def test_a_file_where_a_directory_belongs_is_refused(tmp_path: Path) -> None:
    """spool.state_directory names a regular file."""
    config = config_of(tmp_path)
    (tmp_path / "state").rmdir()
    (tmp_path / "state").write_text("")

    assert [f"spool.state_directory: {tmp_path}/state is not a directory"] == problems(config)


def test_a_directory_that_others_can_write_is_refused(tmp_path: Path) -> None:
    """Any user could change the locks in a state directory of mode 757."""
    config = config_of(tmp_path)
    (tmp_path / "state").chmod(0o757)

    assert [f"spool.state_directory: other users can write to {tmp_path}/state"] == problems(config)


def test_a_spool_that_lacks_directories_is_refused(tmp_path: Path) -> None:
    """One line names all missing directories."""
    config = config_of(tmp_path)
    (tmp_path / "spool" / "new").rmdir()
    (tmp_path / "spool" / "tmp").rmdir()

    assert [f"spool.directory: {tmp_path}/spool lacks new, tmp"] == problems(config)


def test_a_spool_on_several_file_systems_is_refused(tmp_path: Path) -> None:
    """dead/ is a link to another file system: a rename between file systems fails."""
    config = config_of(tmp_path)
    (tmp_path / "spool" / "dead").rmdir()
    (tmp_path / "spool" / "dead").symlink_to("/proc")

    assert ["spool.directory: the spool's directories are on several file systems"] == problems(
        config
    )


@pytest.mark.parametrize(
    ("kind", "refused"),
    [
        ("nfs", True),
        ("nfs4", True),
        ("lustre", True),
        ("gpfs", True),
        ("beegfs", True),
        ("fuse.sshfs", True),
        ("ext4", False),
        ("xfs", False),
        ("nfsd", False),
    ],
)
def test_remote_file_systems_are_refused(tmp_path: Path, kind: str, *, refused: bool) -> None:
    """The spool needs atomic renames and reliable locks; NFS, Lustre and others are refused."""
    config = config_of(tmp_path)
    mounts = tmp_path / "mounts"
    mounts.write_text(f"1 1 0:1 / / rw - {kind} srv:/x rw\n")

    found, _ = check_paths(config, temporary=(), mounts=mounts)

    assert ([f"is on {kind}"] * 2 if refused else []) == [each.problem for each in found]


def test_the_deepest_and_latest_mount_counts(tmp_path: Path) -> None:
    """NFS over the automounter's entry of the same path is found; the path has a space."""
    (tmp_path / "a b").mkdir()
    mounts = tmp_path / "mounts"
    point = str(tmp_path / "a b").replace(" ", "\\040")
    mounts.write_text(
        "1 1 0:1 / / rw shared:1 - ext4 /dev/sda rw\n"
        f"2 1 0:2 / {point} rw - autofs systemd-1 rw\n"
        f"3 1 0:3 / {point} rw - nfs4 srv:/x rw\n"
        "4 1 0:4 / /elsewhere rw - xfs /dev/sdb rw\n"
    )

    assert "nfs4" == file_system(tmp_path / "a b", mounts)
    assert "ext4" == file_system(tmp_path, mounts)


def test_without_a_list_of_mounts_no_file_system_is_refused(tmp_path: Path) -> None:
    """An unknown file system does not count as remote."""
    assert file_system(tmp_path, tmp_path / "none") is None
    assert ((), ()) == check_paths(config_of(tmp_path), temporary=(), mounts=tmp_path / "none")


def test_the_mounts_of_this_system_are_parsed(tmp_path: Path) -> None:
    """The real list of mounts gives a type for the test's directory."""
    assert file_system(tmp_path)


def _state(directory: Path) -> dict[str, str]:
    return {"state_directory": f"{directory}/state"}
