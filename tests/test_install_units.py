"""The services, timers, cron lines and tmpfiles.d of deploy/, as written and as installed."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import build_wheels
import pytest
from install_site import DEPLOY, installed

from spool.cli import CC_SPOOL
from spool.program import Program
from sweeper.cli import CC_SWEEP

HARDENING = """
UMask=0027 NoNewPrivileges=yes CapabilityBoundingSet= ProtectSystem=strict ProtectHome=yes
PrivateTmp=yes PrivateDevices=yes ProtectKernelTunables=yes ProtectKernelModules=yes
ProtectKernelLogs=yes ProtectControlGroups=yes ProtectClock=yes ProtectHostname=yes
RestrictNamespaces=yes RestrictRealtime=yes RestrictSUIDSGID=yes LockPersonality=yes
MemoryDenyWriteExecute=yes SystemCallArchitectures=native SystemCallFilter=@system-service
MemoryMax=4G TasksMax=64
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory like that of `make wheels`."""
    target = tmp_path_factory.mktemp("wheels")
    build_wheels.collect_wheels(target)
    return target


@pytest.fixture(scope="module")
def place(wheels: Path) -> Iterator[Path]:
    """Return a directory that every user can reach, with an installation in `site`."""
    with installed(wheels) as base:
        yield base


@pytest.mark.parametrize("unit", ["cc-spool.service", "cc-sweep.service"])
def test_units_have_all_hardening_directives(unit: str) -> None:
    """Each expected directive is set exactly once in both services."""
    lines = [line for line in (DEPLOY / unit).read_text().splitlines() if "=" in line]
    settings = [line for line in lines if not line.startswith("#")]
    expected = [*HARDENING.split()]
    expected += ["RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK"]
    expected += ["ReadWritePaths=@spool@", "ReadWritePaths=@state@", "User=@service_user@"]

    assert [] == [line for line in expected if settings.count(line) != 1]


def fit_unit(unit: str, version: int, prefix: str = "") -> set[str]:
    """Return the lines of a unit that an installation omits."""
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
def test_no_directive_causes_a_systemd_warning(unit: str, version: int, expected: set[str]) -> None:
    """For an older systemd, directives that it does not know are omitted."""
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
    """StateDirectory is always omitted, ProtectHome for a PREFIX in /home, PrivateTmp in /tmp."""
    state = {"StateDirectory=cc-slurm-sync", "StateDirectoryMode=0750"}

    assert state | expected == fit_unit("cc-spool.service", 257, prefix)


def test_the_drain_is_watched_and_not_restarted_for_a_bad_configuration() -> None:
    """The unit of the drain has notify and a watchdog, and does not restart after exit code 78."""
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
def test_services_and_cron_use_valid_arguments(name: str, program: Program, verb: str) -> None:
    """The programs accept the arguments of service and cron line."""
    (words,) = re.findall(rf"@bin@/{program.name} (.*)", (DEPLOY / name).read_text())
    argv = words.split()

    args = program.parser(argv).parse_args(argv)

    assert (verb, Path("@settings@/config.json")) == (args.subcommand, Path(args.config))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_accepts_the_units(place: Path, tmp_path: Path) -> None:
    """`systemd-analyze verify` reports nothing about service, sweep and timer."""
    units = tmp_path / "units"
    units.mkdir()
    for unit in (place / "site/lib/systemd/system").iterdir():
        program = re.compile(rf"{place}/site/bin/cc-\w+")  # need not exist for this check
        (units / unit.name).write_text(program.sub("/bin/true", unit.read_text()))
    done = subprocess.run(
        ["systemd-analyze", "verify", *sorted(map(str, units.iterdir()))],
        capture_output=True,
        text=True,
        check=False,
    )

    ours = [line for line in done.stderr.splitlines() if "cc-s" in line]
    assert (0, []) == (done.returncode, ours)


def test_systemd_tmpfiles_deletes_nothing_in_the_spool(place: Path) -> None:
    """The lines of tmpfiles.d have no age and make the same directories as `make install`."""
    text = (place / "site/lib/tmpfiles.d/cc-slurm-sync.conf").read_text()
    lines = [line.split() for line in text.splitlines() if not line.startswith("#")]

    expected = {path: f"{stat.S_IMODE(Path(path).stat().st_mode):04o}" for _, path, *_ in lines}
    assert {"-"} == {line[5] for line in lines}
    assert expected == {line[1]: line[2].lstrip(":") for line in lines}
    assert 7 == len(lines)


def test_a_boot_keeps_mode_and_owner_that_the_site_has_corrected() -> None:
    """A colon before mode and owner in tmpfiles.d: systemd sets them only for a new path."""
    lines = [
        line.split()[2:5]
        for name in ("deploy", "packaging")
        for line in (DEPLOY.parent / name / "tmpfiles.conf").read_text().splitlines()
        if not line.startswith("#")
    ]

    assert {":"} == {field[0] for line in lines for field in line}


@pytest.mark.parametrize("name", ["cron", "tmpfiles.conf", "sysusers.conf"])
def test_only_the_cron_lines_are_commented_out(name: str) -> None:
    """tmpfiles.conf and sysusers.conf have active lines; an administrator activates cron."""
    lines = (DEPLOY / name).read_text().splitlines()
    working = [line for line in lines if not line.startswith("#")]

    assert (name == "cron") == (working == [])
