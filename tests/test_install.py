"""`make install`, `make uninstall` and the files of deploy/, below a PREFIX, without a network."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

import pytest
import wheel_house

from spool import __version__ as VERSION  # noqa: N812 - a constant of this module
from spool.cli import CC_SPOOL
from spool.program import Program
from sweeper.cli import CC_SWEEP

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
PACKAGES = {"slurm", "ccbackend", "spool", "sweeper"}
FOREIGN_MODULES = Path(__file__).parent / "data" / "foreign_modules"
HARDENING = """
UMask=0027 NoNewPrivileges=yes CapabilityBoundingSet= ProtectSystem=strict ProtectHome=yes
PrivateTmp=yes PrivateDevices=yes ProtectKernelTunables=yes ProtectKernelModules=yes
ProtectKernelLogs=yes ProtectControlGroups=yes ProtectClock=yes ProtectHostname=yes
RestrictNamespaces=yes RestrictRealtime=yes RestrictSUIDSGID=yes LockPersonality=yes
MemoryDenyWriteExecute=yes SystemCallArchitectures=native SystemCallFilter=@system-service
MemoryMax=4G TasksMax=64
"""


def make(
    target: str, *, conf: Path | None = None, **values: str
) -> subprocess.CompletedProcess[str]:
    """Run a target of the Makefile as an admin does, with no way to a package index.

    The admin's PYTHONPATH leads to a module that no Python of the installation may load.
    """
    environment = {
        "PYTHONPATH": str(FOREIGN_MODULES),
        "PATH": os.environ["PATH"],
        "PIP_INDEX_URL": "http://127.0.0.1:1/",
        "PIP_CONFIG_FILE": os.devnull,
        "SLURM_CONF": str(conf or "/nonexistent/slurm.conf"),
    }
    return subprocess.run(
        ["make", "--no-print-directory", target, *(f"{k}={v}" for k, v in values.items())],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def tree(top: Path) -> set[str]:
    """Return all files below a directory but those of the virtual environment."""
    found = (path.relative_to(top) for path in top.rglob("*") if not path.is_dir())
    return {str(path) for path in found if path.parts[0] != "venv"}


def hook(
    prefix: Path, name: str, job_id: int, *, user: int | None = None, group: int | None = None
) -> None:
    """Run an installed hook as slurmctld does."""
    stub = prefix / "etc/slurm/cc-slurm-sync" / name
    environment = {"SLURM_JOB_ID": str(job_id)}
    subprocess.run([str(stub)], env=environment, check=True, cwd="/", user=user, group=group)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory like that of `make wheels`."""
    target = tmp_path_factory.mktemp("wheels")
    wheel_house.fill(target)
    return target


@pytest.fixture(scope="module")
def place(wheels: Path) -> Iterator[Path]:
    """Return a directory that every user can reach, with an installation in `site`."""
    base = Path(tempfile.mkdtemp(prefix="cc-slurm-sync-", dir="/var/tmp"))
    base.chmod(0o755)
    try:
        done = make("install", PREFIX=str(base / "site"), WHEELS=str(wheels))
        assert (0, "") == (done.returncode, done.stderr)
        (base / "said").write_text(done.stdout)
        yield base
    finally:
        shutil.rmtree(base)


@pytest.fixture
def fresh(place: Path, tmp_path: Path) -> Path:
    """Return a PREFIX with all of an installation but the virtual environment."""
    prefix = tmp_path / "site"
    shutil.copytree(place / "site", prefix, symlinks=True, ignore=shutil.ignore_patterns("venv"))
    for path in (p for p in prefix.rglob("*") if p.is_file() and not p.is_symlink()):
        path.write_text(path.read_text().replace(str(place / "site"), str(prefix)))
    return prefix


@pytest.mark.parametrize(("name", "verb"), [("cc-spool", "drain"), ("cc-sweep", "apply")])
def test_further_installations_have_templates(place: Path, name: str, verb: str) -> None:
    """Each instance has settings, spool and state of its own; all else is the same."""
    units, root = place / "site/lib/systemd/system", place / "site"
    one = (units / f"{name}.service").read_text().splitlines()
    many = (units / f"{name}@.service").read_text().splitlines()

    assert {
        f"ExecStart={root}/bin/{name} {verb} -c {root}/etc/cc-slurm-sync/%i/config.json",
        f"ReadWritePaths={root}/var/spool/cc-slurm-sync-%i",
        f"ReadWritePaths={root}/var/lib/cc-slurm-sync-%i",
        f"#LoadCredential=token:{root}/etc/cc-slurm-sync/%i/token",
    } == {line for line in set(many) - set(one) if not line.startswith("Description=")}


def test_everything_lies_below_the_prefix(place: Path) -> None:
    """An installation with a PREFIX of one's own is complete below it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    expected = {
        *(f"bin/{name}" for name in project.get("scripts", {})),
        "etc/cc-slurm-sync/config.json.example",
        "etc/cc-slurm-sync/install.conf",
        *(f"etc/slurm/cc-slurm-sync/{n}_slurmctld" for n in ("prolog", "epilog")),
        "etc/slurm/cc-slurm-sync/spool_event",
        *(f"lib/systemd/system/{n}" for n in ("cc-spool.service", "cc-sweep.service")),
        *(f"lib/systemd/system/{n}" for n in ("cc-spool@.service", "cc-sweep@.service")),
        *(f"lib/systemd/system/cc-sweep{n}.timer" for n in ("", "@")),
        "lib/sysusers.d/cc-slurm-sync.conf",
        *("lib/tmpfiles.d/cc-slurm-sync.conf", "share/cc-slurm-sync/cron"),
        "share/cc-slurm-sync/logrotate",
    }

    assert expected == tree(place / "site")


def test_no_placeholder_is_left(place: Path) -> None:
    """Every installed file names real places."""
    site = place / "site"
    left = {
        name: found
        for name in tree(site)
        if not (site / name).is_symlink()
        and (found := re.findall(r"@[a-z_]+@", (site / name).read_text()))
    }

    assert {} == left


def test_the_example_names_the_places_of_the_installation(place: Path) -> None:
    """The example configuration works below the PREFIX once name and host are set."""
    site = place / "site"
    example = json.loads((site / "etc/cc-slurm-sync/config.json.example").read_text())

    found = [*list(example["spool"].values())[:2], example["cc-backend"]["token_file"]]
    expected = ["var/spool/cc-slurm-sync", "var/lib/cc-slurm-sync", "etc/cc-slurm-sync/token"]
    assert [str(site / path) for path in expected] == found


def test_lines_for_slurm_conf_are_printed(place: Path) -> None:
    """The end of an installation says what to write into slurm.conf, with and without own hooks."""
    said = (place / "said").read_text()
    hooks = place / "site/etc/slurm/cc-slurm-sync"

    for line in (
        "restart slurmctld: up to Slurm 23.02 `scontrol reconfigure` does not activate the hooks",
        f"PrologSlurmctld={hooks}/prolog_slurmctld\n",
        f"EpilogSlurmctld={hooks}/epilog_slurmctld\n",
        f"call ours at the end of your script:\n     {hooks}/prolog_slurmctld\n",
        "with Slurm 24.05 and later, add our line below",
    ):
        assert line in said


def test_an_installed_hook_writes_into_the_installed_spool(fresh: Path) -> None:
    """A stub below a PREFIX uses the spool below the same PREFIX."""
    hook(fresh, "prolog_slurmctld", 17)

    (event,) = (fresh / "var/spool/cc-slurm-sync/new").iterdir()
    assert "1-start-17-0-0" == event.name.rpartition("-")[0]


def install_older_version(site: Path, wheels: Path, work: Path) -> None:
    """Replace the installed program by the same one under an older version."""
    (wheel,) = wheels.glob("cc_slurm_sync-*.whl")
    older = work / "cc_slurm_sync-0.0.9-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as new, zipfile.ZipFile(older, "w") as old:
        for name in new.namelist():
            text = new.read(name).decode()
            old.writestr(
                name.replace(f"-{VERSION}.", "-0.0.9."),
                re.sub(rf"^Version: {VERSION}$", "Version: 0.0.9", text, flags=re.MULTILINE),
            )
    argv = [site / "venv/bin/python", "-m", "pip", "install", "--no-index", "--no-deps", older]
    subprocess.run(list(map(str, argv)), capture_output=True, check=True)


@dataclass(frozen=True, kw_only=True)
class Upgrade:
    """What an upgrade said and left, and the process of the old version that runs on."""

    done: subprocess.CompletedProcess[str]
    kept: dict[str, str]
    left: dict[str, str]
    events_elsewhere: int
    pid: int


@pytest.fixture(scope="module")
def upgrade(place: Path, wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Upgrade:
    """Install over an older version, with files of the site and a process that runs from there."""
    site, other = place / "site", place / "other-spool"
    (other / "new").mkdir(parents=True)
    kept = {
        "etc/cc-slurm-sync/config.json": '{"clustername": "mine"}',
        "etc/cc-slurm-sync/token": "TOKEN:x\n",
        "var/spool/cc-slurm-sync/new/1-start-1-0-0-1": "end\n",
        "var/spool/cc-slurm-sync/open/1-2.json": "{}",
        "var/lib/cc-slurm-sync/drain.json": "{}",
    }
    for name, text in kept.items():
        (site / name).write_text(text)
    stub = site / "etc/slurm/cc-slurm-sync/prolog_slurmctld"
    old_stub = stub.read_text()
    stub.write_text(old_stub.replace(str(site / "var/spool/cc-slurm-sync"), str(other)))
    (site / "etc/slurm/cc-slurm-sync/spool_event").write_text("# an older one\n")
    install_older_version(site, wheels, tmp_path_factory.mktemp("older"))
    waits = [str(site / "venv/bin/python"), "-c", "input()", "drain", "\x1b[31m"]
    with subprocess.Popen(waits, stdin=subprocess.PIPE) as drain:
        done = make("install", PREFIX=str(site), WHEELS=str(wheels))
        hook(site, "prolog_slurmctld", 18)
        drain.kill()
    found = Upgrade(
        done=done,
        kept=kept,
        left={name: (site / name).read_text() for name in kept},
        events_elsewhere=len([*(other / "new").iterdir()]),
        pid=drain.pid,
    )
    for name in kept:
        (site / name).unlink()
    stub.write_text(old_stub)
    shutil.rmtree(other)
    return found


def test_an_upgrade_keeps_what_the_site_made(upgrade: Upgrade) -> None:
    """Installing again leaves configuration, token, spool, state and the stub's own spool alone."""
    assert (0, "") == (upgrade.done.returncode, upgrade.done.stderr)
    assert upgrade.kept == upgrade.left
    assert 1 == upgrade.events_elsewhere


def test_an_upgrade_says_which_version_it_replaced(place: Path, upgrade: Upgrade) -> None:
    """And does not repeat what a first installation says."""
    said = upgrade.done.stdout

    assert f"cc-slurm-sync in {place}/site: 0.0.9 -> {VERSION} (Python " in said
    assert "PrologSlurmctld=" not in said
    assert "Configuration, once" not in said


def test_an_upgrade_names_what_still_runs_as_the_old_version(place: Path, upgrade: Upgrade) -> None:
    """By process and command, without the control characters that a command may hold."""
    line = f"     {upgrade.pid}  {place}/site/venv/bin/python -c input() drain [31m"

    said = upgrade.done.stdout.splitlines()
    assert "Still running as the old version; stop what does not end by itself" in said[-2]
    assert line == said[-1].rstrip()


def test_uninstalling_leaves_stubs_that_slurm_conf_names(fresh: Path, tmp_path: Path) -> None:
    """The stubs stay and do nothing, the lines are printed; a second call removes them."""
    conf = tmp_path / "etc" / "slurm.conf"
    conf.parent.mkdir()
    hooks = fresh / "etc/slurm/cc-slurm-sync"
    conf.write_text(f"ClusterName=x\nPrologSlurmctld={hooks}/prolog_slurmctld\n")

    first = make("uninstall", conf=conf, PREFIX=str(fresh))
    hook(fresh, "epilog_slurmctld", 19)
    left = tree(fresh)
    conf.write_text("ClusterName=x\n")
    second = make("uninstall", conf=conf, PREFIX=str(fresh))

    stubs = {f"etc/slurm/cc-slurm-sync/{n}_slurmctld" for n in ("prolog", "epilog")}
    assert stubs == left
    assert f"PrologSlurmctld={hooks}/prolog_slurmctld\n" in first.stdout
    assert "then restart slurmctld (from Slurm 23.11 on `scontrol reconfigure` is" in first.stdout
    assert (0, "", "") == (second.returncode, second.stdout, second.stderr)
    assert not fresh.exists()


def test_stubs_stay_while_a_script_of_the_site_calls_them(fresh: Path, tmp_path: Path) -> None:
    """A PrologSlurmctld of the site that calls ours keeps the stubs."""
    script = tmp_path / "site-prolog"
    script.write_text(f"#!/bin/sh\n{fresh}/etc/slurm/cc-slurm-sync/prolog_slurmctld\n")
    conf = tmp_path / "etc" / "slurm.conf"
    conf.parent.mkdir()
    conf.write_text(f"PrologSlurmctld={script}\n")

    make("uninstall", conf=conf, PREFIX=str(fresh))

    assert (fresh / "etc/slurm/cc-slurm-sync/prolog_slurmctld").exists()


def test_a_trial_is_removed_where_there_is_no_slurm_conf(fresh: Path) -> None:
    """Nothing can name stubs below a PREFIX then; a slash at its end is no matter."""
    done = make("uninstall", PREFIX=f"{fresh}/")

    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)
    assert not fresh.exists()


def test_uninstalling_keeps_files_of_the_site(fresh: Path, tmp_path: Path) -> None:
    """A spool with a file in it, a configuration and a token are never removed."""
    conf = tmp_path / "etc" / "slurm.conf"
    conf.parent.mkdir()
    conf.write_text("ClusterName=x\n")
    kept = {
        "etc/cc-slurm-sync/config.json",
        "etc/cc-slurm-sync/token",
        "var/spool/cc-slurm-sync/dead/1-2.json",
    }
    for name in kept:
        (fresh / name).write_text("mine")

    done = make("uninstall", conf=conf, PREFIX=str(fresh))

    assert kept == tree(fresh)
    assert f"stays, because files are in it: {fresh}/var/spool/cc-slurm-sync/dead" in done.stdout


def test_purging_removes_the_files_of_the_site(fresh: Path) -> None:
    """Configuration, token, spool and state; what was in the spool is counted."""
    for name in ("etc/cc-slurm-sync/config.json", "etc/cc-slurm-sync/token"):
        (fresh / name).write_text("mine")
    (fresh / "var/spool/cc-slurm-sync/dead/1-2.json").write_text("mine")
    (fresh / "var/lib/cc-slurm-sync/delivered").mkdir()

    done = make("uninstall", PREFIX=str(fresh), PURGE="1")

    assert (0, "") == (done.returncode, done.stderr)
    dead = fresh / "var/spool/cc-slurm-sync/dead"
    assert f"removed with 1 files in it: {dead}\n" == done.stdout
    assert not fresh.exists()


def test_purging_keeps_stubs_that_slurm_conf_names(fresh: Path, tmp_path: Path) -> None:
    """And nothing else: slurmctld would not start without them."""
    conf = tmp_path / "etc" / "slurm.conf"
    conf.parent.mkdir()
    stub = "etc/slurm/cc-slurm-sync/prolog_slurmctld"
    conf.write_text(f"PrologSlurmctld={fresh}/{stub}\n")
    (fresh / "etc/cc-slurm-sync/token").write_text("mine")

    make("uninstall", conf=conf, PREFIX=str(fresh), PURGE="1")

    assert {stub, stub.replace("prolog", "epilog")} == tree(fresh)


def test_purging_is_asked_for_by_one_word(fresh: Path) -> None:
    """A word that is not understood removes nothing."""
    before = tree(fresh)
    done = make("uninstall", PREFIX=str(fresh), PURGE="maybe")

    assert "PURGE=1" in done.stderr
    assert before == tree(fresh)


@pytest.mark.parametrize("prefix", ["/", "/a/../b", "/a b", "/a|b", "//"])
def test_a_doubtful_prefix_is_refused(prefix: str) -> None:
    """A PREFIX that would not survive being written into files is refused."""
    done = subprocess.run(
        [str(DEPLOY / "uninstall")],
        env={"PATH": os.environ["PATH"], "PREFIX": prefix},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (2, True) == (done.returncode, done.stderr.startswith("PREFIX: write a plain path"))


@pytest.fixture
def open_place() -> Iterator[Path]:
    """Return a directory that every user can reach, wherever the project lies."""
    place = Path(tempfile.mkdtemp(prefix="cc-slurm-sync-", dir="/var/tmp"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes nobody, which needs root")
def test_the_default_place_asks_for_root(open_place: Path) -> None:
    """Without root and PREFIX the message names both ways out."""
    shutil.copytree(DEPLOY, open_place / "deploy")
    (open_place / "deploy").chmod(0o755)
    done = subprocess.run(
        [str(open_place / "deploy" / "install")],
        env={"PATH": "/usr/bin:/bin"},
        user="nobody",
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )

    assert (77, True) == (done.returncode, "PREFIX=DIRECTORY" in done.stderr)


def fake_python(directory: Path, name: str, status: int) -> Path:
    """Make an interpreter that is new enough (0) or not (1)."""
    path = directory / name
    path.write_text(f"#!/bin/sh\nexit {status}\n")
    path.chmod(0o755)
    return path


def find_python(directory: Path, *wanted: str) -> subprocess.CompletedProcess[str]:
    """Run find_python where only a directory's interpreters are on the path."""
    return subprocess.run(
        ["/bin/sh", str(DEPLOY / "find_python"), *wanted],
        env={"PATH": str(directory)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ({"python3": 0, "python3.12": 0}, "python3"),
        ({"python3": 1, "python3.11": 0, "python3.12": 0}, "python3.12"),
        ({"python3": 1, "python3.12": 1, "python3.11": 0}, "python3.11"),
        ({"python3.11": 0}, "python3.11"),
    ],
)
def test_a_newer_python_is_found_beside_an_old_one(
    tmp_path: Path, there: dict[str, int], expected: str
) -> None:
    """The system's Python is taken if it is new enough, else 3.12, else 3.11."""
    for name, status in there.items():
        fake_python(tmp_path, name, status)

    assert f"{tmp_path / expected}\n" == find_python(tmp_path).stdout


@pytest.mark.parametrize("wanted", [(), ("python3.12",)])
def test_a_missing_python_is_named(tmp_path: Path, wanted: tuple[str, ...]) -> None:
    """Without a Python that is new enough the message names a package to install."""
    fake_python(tmp_path, "python3", 1)

    done = find_python(tmp_path, *wanted)

    assert (1, "") == (done.returncode, done.stdout)
    assert "to install one: " in done.stderr
    assert all(name in done.stderr for name in wanted)


@pytest.mark.parametrize("unit", ["cc-spool.service", "cc-sweep.service"])
def test_units_are_hardened_in_full(unit: str) -> None:
    """Both services carry every restriction of our reference, and none twice."""
    lines = [line for line in (DEPLOY / unit).read_text().splitlines() if "=" in line]
    settings = [line for line in lines if not line.startswith("#")]
    expected = [*HARDENING.split()]
    expected += ["RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK"]
    expected += ["ReadWritePaths=@spool@", "ReadWritePaths=@state@", "User=@service_user@"]

    assert [] == [line for line in expected if settings.count(line) != 1]


def fit_unit(unit: str, version: int, prefix: str = "") -> set[str]:
    """Return the lines of a unit that an installation leaves out."""
    text = (DEPLOY / unit).read_text()
    argv = [str(DEPLOY / "fit_unit"), str(version), prefix]
    fitted = subprocess.run(argv, input=text, capture_output=True, text=True, check=True).stdout
    return set(text.splitlines()) - set(fitted.splitlines())


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (257, set()),
        (247, set()),
        (244, {"ProtectClock=yes"}),
        (
            239,
            {"ProtectClock=yes", "ProtectKernelLogs=yes", "ProtectHostname=yes"}
            | {"RestrictSUIDSGID=yes"},
        ),
    ],
)
@pytest.mark.parametrize("unit", ["cc-spool.service", "cc-sweep.service"])
def test_no_directive_is_one_that_systemd_warns_about(
    unit: str, version: int, expected: set[str]
) -> None:
    """An older systemd gets the unit without what it does not know."""
    assert expected == fit_unit(unit, version)


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("/srv/x", set()),
        ("/home/x/y", {"ProtectHome=yes"}),
        (f"{tempfile.gettempdir()}/x", {"PrivateTmp=yes"}),
    ],
)
def test_a_unit_below_a_prefix_reaches_its_files(prefix: str, expected: set[str]) -> None:
    """And makes no directory elsewhere."""
    state = {"StateDirectory=cc-slurm-sync", "StateDirectoryMode=0750"}

    assert state | expected == fit_unit("cc-spool.service", 257, prefix)


def test_the_drain_is_watched_and_not_restarted_for_a_bad_configuration() -> None:
    """The unit of the drain notifies, has a watchdog, and stays down after exit code 78."""
    text = (DEPLOY / "cc-spool.service").read_text().splitlines()
    expected = {
        *("Type=notify", "WatchdogSec=300", "Restart=on-failure", "RestartSec=15"),
        *("RestartPreventExitStatus=78", "TimeoutStopSec=20"),
    }

    assert expected == expected & set(text)


@pytest.mark.parametrize(
    ("name", "program", "verb"),
    [
        ("cc-spool.service", CC_SPOOL, "drain"),
        ("cc-sweep.service", CC_SWEEP, "apply"),
        ("cron", CC_SPOOL, "drain"),
        ("cron", CC_SWEEP, "apply"),
    ],
)
def test_services_and_cron_call_what_there_is(name: str, program: Program, verb: str) -> None:
    """The programs take the arguments that service and cron line give them."""
    (words,) = re.findall(rf"@bin@/{program.name} (.*)", (DEPLOY / name).read_text())
    argv = words.split()

    args = program.parser(argv).parse_args(argv)

    assert (verb, Path("@settings@/config.json")) == (args.subcommand, Path(args.config))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_understands_the_units(place: Path, tmp_path: Path) -> None:
    """`systemd-analyze verify` has nothing to say about service, sweep and timer."""
    units = tmp_path / "units"
    units.mkdir()
    for unit in (place / "site/lib/systemd/system").iterdir():
        program = re.compile(rf"{place}/site/bin/cc-\w+")  # need not be there for this
        (units / unit.name).write_text(program.sub("/bin/true", unit.read_text()))
    done = subprocess.run(
        ["systemd-analyze", "verify", *sorted(map(str, units.iterdir()))],
        capture_output=True,
        text=True,
        check=False,
    )

    ours = [line for line in done.stderr.splitlines() if "cc-s" in line]
    assert (0, []) == (done.returncode, ours)


def test_nothing_in_the_spool_expires(place: Path) -> None:
    """The lines of tmpfiles.d carry no age and make the directories that install makes."""
    text = (place / "site/lib/tmpfiles.d/cc-slurm-sync.conf").read_text()
    lines = [line.split() for line in text.splitlines() if not line.startswith("#")]

    expected = {path: f"{stat.S_IMODE(Path(path).stat().st_mode):04o}" for _, path, *_ in lines}
    assert {"-"} == {line[5] for line in lines}
    assert expected == {line[1]: line[2] for line in lines}
    assert 7 == len(lines)


@pytest.mark.parametrize("name", ["cron", "tmpfiles.conf", "sysusers.conf"])
def test_comments_alone_stand_beside_working_lines(name: str) -> None:
    """The cron lines ship commented out; the other files hold working lines."""
    lines = (DEPLOY / name).read_text().splitlines()
    working = [line for line in lines if not line.startswith("#")]

    assert (name == "cron") == (working == [])


def configure(prefix: Path, owner: str = "") -> Path:
    """Make a configuration and a token from what is installed; return the configuration."""
    settings = prefix / "etc/cc-slurm-sync"
    document = json.loads((settings / "config.json.example").read_text())
    document |= {"clustername": "lab", "cc-backend": {"host": "http://127.0.0.1:1"}}
    document["cc-backend"]["token_file"] = str(settings / "token")
    for name, text in (("config.json", json.dumps(document)), ("token", "TOKEN:x\n")):
        (settings / name).write_text(text)
        (settings / name).chmod(0o600)
        if owner:
            shutil.chown(settings / name, owner)
    return settings / "config.json"


def status(prefix: Path, *, user: str | None = None) -> dict[str, int]:
    """Run the installed command in an empty environment; return the counts of the spool."""
    done = subprocess.run(
        [str(prefix / "bin/cc-spool"), "status", "--json"],
        env={},
        cwd="/",
        user=user,
        group=None if user is None else pwd.getpwnam(user).pw_gid,
        extra_groups=None if user is None else [],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, True) == (done.returncode, done.stdout.startswith("{")), done.stderr
    counts: dict[str, int] = json.loads(done.stdout)["counts"]
    return counts


def test_the_installed_command_reads_the_installed_spool(place: Path) -> None:
    """`bin/cc-spool` works from anywhere, with two keys in the configuration below its PREFIX."""
    site = place / "site"
    config = configure(site)
    config.write_text('{"clustername": "lab", "cc-backend": {"host": "http://127.0.0.1:1"}}')
    before = status(site)["new"]
    hook(site, "prolog_slurmctld", 21)

    after = status(site)["new"]

    for path in (config, config.with_name("token")):
        path.unlink()
    for path in (site / "var/spool/cc-slurm-sync/new").iterdir():
        path.unlink()
    assert (0, 1) == (before, after)


@pytest.mark.parametrize("command", ["bin/cc-spool", "bin/cc-sweep", "venv/bin/cc-spool"])
def test_no_module_of_the_caller_is_loaded(place: Path, tmp_path: Path, command: str) -> None:
    """Not from PYTHONPATH, not from the current directory, not from a home."""
    home = tmp_path / ".local/lib/python3/site-packages"
    foreign = 'open("loaded", "w")'
    for directory in (tmp_path, home):
        directory.mkdir(parents=True, exist_ok=True)
        for name in ("json", "spool", "sweeper", "sitecustomize", "usercustomize"):
            (directory / f"{name}.py").write_text(foreign)
    done = subprocess.run(
        [str(place / "site" / command), "--version"],
        cwd=tmp_path,
        env={
            "PYTHONPATH": str(tmp_path),
            "PYTHONUSERBASE": str(tmp_path / ".local"),
            "HOME": str(tmp_path),
            "PYTHONSTARTUP": str(tmp_path / "json.py"),
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert (0, "") == (done.returncode, done.stderr)
    assert not (tmp_path / "loaded").exists()


SLURM_USER, SERVICE_USER, OTHER_USER = "daemon", "nobody", "bin"  # every system has them
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become other users")


@pytest.fixture(scope="module")
def two(place: Path, wheels: Path) -> Path:
    """Install for two users, below a PREFIX that is too long for the first line of a script."""
    prefix = place / f"two-{'x' * 120}"
    done = make(
        "install",
        PREFIX=str(prefix),
        WHEELS=str(wheels),
        SLURM_USER=SLURM_USER,
        SERVICE_USER=SERVICE_USER,
    )
    assert (0, "") == (done.returncode, done.stderr)
    return prefix


@needs_root
def test_hooks_and_drain_may_be_two_users(two: Path) -> None:
    """What SlurmUser's hook makes the service's account can read and unlink, nobody else can."""
    spool = two / "var/spool/cc-slurm-sync"
    service = pwd.getpwnam(SERVICE_USER)

    hook(two, "prolog_slurmctld", 20, user=pwd.getpwnam(SLURM_USER).pw_uid, group=1)
    (event,) = (spool / "new").iterdir()
    made = event.stat()
    configure(two, SERVICE_USER)
    counts = [status(two)["new"], status(two, user=SERVICE_USER)["new"]]
    read_and_unlink = f"cat {event} && rm {event} && : > {spool}/todo/x && rm {spool}/todo/x"
    as_service = subprocess.run(
        ["/bin/sh", "-c", read_and_unlink],
        user=service.pw_uid,
        group=service.pw_gid,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (SLURM_USER, service.pw_gid) == (pwd.getpwuid(made.st_uid).pw_name, made.st_gid)
    assert 0o640 == stat.S_IMODE(made.st_mode)
    assert [1, 1] == counts
    assert (0, "end\n", "") == (as_service.returncode, as_service.stdout, as_service.stderr)


@dataclass(frozen=True, kw_only=True)
class Change:
    """Owners of the files after SERVICE_USER was named, and after an upgrade without it."""

    said: str
    after_change: dict[str, str]
    after_upgrade: dict[str, str]


@pytest.fixture(scope="module")
def change(two: Path, wheels: Path) -> Change:
    """Change the service user of an installation in use, then upgrade it."""
    service = pwd.getpwnam(SERVICE_USER)
    configure(two)
    owners = {  # user and group before
        "etc/cc-slurm-sync/config.json": (0, service.pw_gid),
        "etc/cc-slurm-sync/token": (0, service.pw_gid),
        "var/spool/cc-slurm-sync/new/1-start-7-0-0-9": (
            pwd.getpwnam(SLURM_USER).pw_uid,
            service.pw_gid,
        ),
        "var/spool/cc-slurm-sync/todo/1-2.json": (service.pw_uid, service.pw_gid),
        "var/lib/cc-slurm-sync/delivered/x.jsonl": (service.pw_uid, service.pw_gid),
    }
    (two / "var/lib/cc-slurm-sync/delivered").mkdir()
    for name, (uid, gid) in owners.items():
        path = two / name
        path.touch()
        os.chown(path, uid, gid)
        path.chmod(0o640)
    (two / "var/spool/cc-slurm-sync/dead/link").symlink_to("/etc/passwd")

    def install(service_user: str = "") -> tuple[str, dict[str, str]]:
        done = make("install", PREFIX=str(two), WHEELS=str(wheels), SERVICE_USER=service_user)
        assert (0, "") == (done.returncode, done.stderr)
        names = [*owners, "var/spool/cc-slurm-sync/new", "var/lib/cc-slurm-sync"]
        found = {name: f"{(two / name).owner()}:{(two / name).group()}" for name in names}
        units = (two / "lib/systemd/system/cc-spool.service").read_text()
        found["unit"] = ":".join(re.findall(r"^(?:User|Group)=(.*)$", units, re.MULTILINE))
        return done.stdout, found

    said, after_change = install(OTHER_USER)
    return Change(said=said, after_change=after_change, after_upgrade=install()[1])


@needs_root
def test_everything_follows_the_service_user(change: Change) -> None:
    """The contents of spool and state, configuration and token, and the units; a link does not."""
    service, group = f"{OTHER_USER}:{OTHER_USER}", OTHER_USER
    expected = {
        "etc/cc-slurm-sync/config.json": f"root:{group}",
        "etc/cc-slurm-sync/token": f"root:{group}",
        "var/spool/cc-slurm-sync/new/1-start-7-0-0-9": f"{SLURM_USER}:{group}",
        "var/spool/cc-slurm-sync/todo/1-2.json": service,
        "var/lib/cc-slurm-sync/delivered/x.jsonl": service,
        "var/spool/cc-slurm-sync/new": f"{SLURM_USER}:{group}",
        "var/lib/cc-slurm-sync": service,
        "unit": service,
    }

    assert expected == change.after_change
    assert 0 == Path("/etc/passwd").stat().st_uid
    assert f"now belong to {OTHER_USER} instead of {SERVICE_USER}." in change.said


@needs_root
def test_an_upgrade_keeps_both_users(change: Change) -> None:
    """A choice is made once."""
    assert change.after_change == change.after_upgrade


@needs_root
def test_a_choice_that_no_file_remembers_is_read_from_the_owners(two: Path, change: Change) -> None:
    """An older version remembered nothing."""
    (two / "etc/cc-slurm-sync/install.conf").unlink()
    files = "".join(f". {DEPLOY}/{name}; " for name in ("places", "slurm_site", "accounts"))
    script = f"set -eu; {files}find_service_user; find_slurm_user"
    done = subprocess.run(
        ["/bin/sh", "-c", script],
        env={"PREFIX": str(two), "SLURM_CONF": "/nonexistent", "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )

    assert change.after_upgrade["unit"] == f"{OTHER_USER}:{OTHER_USER}"
    assert f"{OTHER_USER}\n{SLURM_USER}\n" == done.stdout


def test_no_other_distribution_ships_our_names() -> None:
    """No package beside ours in this environment has modules called as ours are."""
    others = {
        (found.metadata["Name"], file.parts[0].removesuffix(".py"))
        for found in distributions()
        if found.metadata["Name"] != "cc-slurm-sync"
        for file in found.files or []
    }

    assert set() == {(name, top) for name, top in others if top in PACKAGES}


OVERLAY = """
set -eu
mount -t tmpfs none "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount -t proc none "$1/root/proc"
mount --bind /dev "$1/root/dev"
[ $# = 1 ] || exec chroot "$1/root" /bin/sh -c "$2"
"""
INSIDE = """
set -eu
cd {root}
cat >/usr/local/sbin/restorecon <<'END'
#!/bin/sh
echo "restorecon: $*"
END
chmod 755 /usr/local/sbin/restorecon
make -s install WHEELS={wheels} SLURM_USER=daemon
stat -c '%U:%G %a' /var/spool/cc-slurm-sync/new /var/spool/cc-slurm-sync/todo /var/lib/cc-slurm-sync
stat -c '%U:%G %a' /etc/cc-slurm-sync/config.json.example
readlink /usr/local/bin/cc-spool
ls /usr/local/lib/systemd/system
grep SPOOL= /etc/slurm/cc-slurm-sync/prolog_slurmctld
export SLURM_CONF=/nonexistent
make -s uninstall
ls /etc/slurm/cc-slurm-sync
make -s uninstall PURGE=1
! ls -d /etc/slurm/cc-slurm-sync /etc/cc-slurm-sync /var/spool/cc-slurm-sync /opt/cc-slurm-sync
! id cc-slurm-sync
"""


def in_a_throwaway_root(base: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a script as root where nothing that it changes is kept; none: only try to get there."""
    argv = ["unshare", "-m", "--propagation", "private", "/bin/sh", "-c", OVERLAY, "-", str(base)]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    return subprocess.run(
        [*argv, *command], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="installs where the system looks, which needs root")
def test_the_default_places_are_those_where_the_system_looks(wheels: Path, tmp_path: Path) -> None:
    """Account, owners, modes, links, units and stubs of a plain `make install`."""
    if in_a_throwaway_root(tmp_path).returncode != 0:
        pytest.skip("no overlay of the root file system can be mounted here")

    done = in_a_throwaway_root(tmp_path, INSIDE.format(root=ROOT, wheels=wheels))

    expected = """\
daemon:cc-slurm-sync 2770
cc-slurm-sync:cc-slurm-sync 750
cc-slurm-sync:cc-slurm-sync 750
root:cc-slurm-sync 640
/opt/cc-slurm-sync/venv/bin/cc-spool
cc-spool.service
cc-spool@.service
cc-sweep.service
cc-sweep.timer
cc-sweep@.service
cc-sweep@.timer
#CC_SLURM_SYNC_SPOOL=/var/spool/cc-slurm-sync
"""
    assert 0 == done.returncode, done.stderr
    assert "PrologSlurmctld=/etc/slurm/cc-slurm-sync/prolog_slurmctld\n" in done.stdout
    assert expected in done.stdout
    stays = "The account cc-slurm-sync stays.\nepilog_slurmctld\nprolog_slurmctld\n"
    assert done.stdout.endswith(stays)
    units = re.findall(r"^cc-s\S+\.(?:service|timer)$", expected, re.MULTILINE)
    labelled = re.findall(r"^restorecon: -R (.*)", done.stdout, re.MULTILINE)[0].split()
    assert set() == {
        *("/opt/cc-slurm-sync", "/usr/local/bin/cc-spool", "/usr/local/bin/cc-sweep"),
        *(f"/usr/local/lib/systemd/system/{name}" for name in units),
        *("/etc/cc-slurm-sync", "/etc/slurm/cc-slurm-sync", "/var/spool/cc-slurm-sync"),
        *("/var/lib/cc-slurm-sync", "/usr/local/lib/tmpfiles.d/cc-slurm-sync.conf"),
    } - set(labelled)
