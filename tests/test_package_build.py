"""`make deb` and `make rpm`: what is in the packages, and that two builds are equal."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from package_lab import NEW, OLD, ROOT, Kit, Site, build_packages, require_tree
from packaging.requirements import Requirement

REQUIREMENTS = ROOT / "packaging/requirements.txt"
LIBRARY = "/usr/lib/cc-slurm-sync"
UNITS = "/usr/lib/systemd/system"


def pinned() -> dict[str, str]:
    """Return the libraries in the packages, and their versions."""
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", REQUIREMENTS.read_text(), re.MULTILINE))


def output(*argv: str) -> list[str]:
    """Return the lines that a command prints; the command may fail."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).splitlines()


def has_manual() -> bool:
    """Return whether the project makes manual pages."""
    return re.search(r"^man:", (ROOT / "Makefile").read_text(), re.MULTILINE) is not None


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Kit:
    """Return the packages that all tests of a run share."""
    return Kit.of(tmp_path_factory)


def test_all_dependencies_are_pinned() -> None:
    """packaging/requirements.txt has each dependency, in a version that pyproject.toml allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [Requirement(text) for text in project["dependencies"]]

    missing = [
        str(each) for each in wanted if not each.specifier.contains(pinned().get(each.name, "0"))
    ]
    assert [] == missing, "run `make lock`"


def test_each_pinned_library_has_a_hash() -> None:
    """A library that was changed at the package index does not match its SHA-256 hash."""
    lines = [line for line in REQUIREMENTS.read_text().splitlines() if not line.startswith("#")]

    assert [] == [line for line in lines if not re.search(r" --hash=sha256:[0-9a-f]{64}$", line)]


@pytest.mark.packages
def test_two_builds_are_equal(kit: Kit, tmp_path: Path) -> None:
    """The same tree and date give the same bytes with another time zone, locale and HOME."""
    first = {path.name: path.read_bytes() for path in (kit.deb(), kit.rpm())}

    build_packages(tmp_path, NEW, TZ="Asia/Tokyo", LC_ALL="C.UTF-8", HOME="/")

    assert first == {path.name: path.read_bytes() for path in sorted(tmp_path.iterdir())}


@pytest.mark.packages
def test_lintian_finds_no_problem_in_the_deb(kit: Kit) -> None:
    """No error and no warning is reported; intended deviations are overridden, with the reason."""
    suppressed = [] if has_manual() else ["--suppress-tags", "no-manual-page"]
    said = output("lintian", "--allow-root", "--tag-display-limit=0", *suppressed, str(kit.deb()))

    assert [] == [line for line in said if not line.startswith("running with root")]


@pytest.mark.packages
def test_rpmlint_finds_no_problem_in_the_rpm(kit: Kit) -> None:
    """There is no error and no warning of rpmlint for the package."""
    said = output("rpmlint", "-c", str(ROOT / "packaging/rpmlint.toml"), str(kit.rpm()))

    assert [] == [line for line in said if re.match(r"cc-slurm-sync\.\S+ [EW]:", line)]


def contents(kit: Kit, kind: str) -> list[str]:
    """Return the paths of all files in a package."""
    if kind == "deb":
        lines = output("dpkg-deb", "-c", str(kit.deb()))
        return sorted(line.split()[5][1:].rstrip("/") for line in lines if line[0] != "d")
    lines = output("rpm", "-qp", "--qf", "[%{FILEMODES:perms} %{FILENAMES}\n]", str(kit.rpm()))
    return sorted(line.split()[1] for line in lines if line[0] != "d")


@pytest.mark.packages
@pytest.mark.parametrize("kind", ["deb", "rpm"])
def test_the_package_is_self_contained(kit: Kit, kind: str) -> None:
    """Program and libraries are below /usr/lib/cc-slurm-sync, without compiled files or tests."""
    files = contents(kit, kind)
    tops = {path.split("/")[4] for path in files if path.startswith(f"{LIBRARY}/")}

    assert {"slurm", "ccbackend", "spool", "sweeper", "requests", "urllib3", "tqdm"} <= tops
    assert len(pinned()) == len([name for name in tops if name.endswith(".dist-info")])
    assert [] == [path for path in files if re.search(r"\.(so|pyc)$|site-packages|/tests/", path)]


@pytest.mark.packages
@pytest.mark.parametrize("kind", ["deb", "rpm"])
def test_both_packages_have_the_files_of_an_installation(kit: Kit, kind: str) -> None:
    """Each has commands, hooks, units, sysusers.d, tmpfiles.d, logrotate, example and manuals."""
    share, doc = "/usr/share/cc-slurm-sync", "/usr/share/doc/cc-slurm-sync"
    expected = {
        "/etc/logrotate.d/cc-slurm-sync",
        *(f"/usr/bin/{name}" for name in ("cc-spool", "cc-sweep")),
        *(f"{LIBRARY}/hooks/{n}" for n in ("prolog_slurmctld", "epilog_slurmctld", "spool_event")),
        *(f"{UNITS}/cc-{n}.service" for n in ("spool", "spool@", "sweep", "sweep@")),
        *(f"{UNITS}/cc-{n}.timer" for n in ("sweep", "sweep@")),
        "/usr/lib/sysusers.d/cc-slurm-sync.conf",
        "/usr/lib/tmpfiles.d/cc-slurm-sync.conf",
        *(f"{share}/{name}" for name in ("config.json.example", "cron")),
        *(f"{doc}/{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY")),
        f"{doc}/docs/images/clustercockpit-jobs.png",
        "/usr/share/bash-completion/completions/cc-spool",
        "/usr/share/fish/vendor_completions.d/cc-sweep.fish",
    }
    manual = {re.sub(r"\.gz$", "", path) for path in contents(kit, kind) if "/man/" in path}

    assert set() == expected - set(contents(kit, kind))
    assert {
        "/usr/share/man/man5/cc-slurm-sync.json.5",
        "/usr/share/man/man7/cc-slurm-sync.7",
        "/usr/share/man/man8/cc-spool.8",
        "/usr/share/man/man8/cc-sweep.8",
    } == manual


@pytest.mark.packages
def test_the_licence_of_each_library_is_named(kit: Kit, tmp_path: Path) -> None:
    """The Debian copyright file has a paragraph for each library and its version."""
    output("dpkg-deb", "-x", str(kit.deb()), str(tmp_path))
    text = (tmp_path / "usr/share/doc/cc-slurm-sync/copyright").read_text()

    named = set(re.findall(r"usr/lib/cc-slurm-sync/(\S+)\.dist-info/\*", text))
    assert {f"{name.replace('-', '_')}-{version}" for name, version in pinned().items()} == named


@pytest.mark.packages
@pytest.mark.parametrize("kind", ["deb", "rpm"])
def test_links_in_the_documentation_of_a_package_work(kit: Kit, kind: str) -> None:
    """Each relative link in a Markdown file of the package leads to an installed file."""
    with Site([require_tree("bookworm")]) as site:
        if kind == "deb":
            site.file("/root/package.deb").write_bytes(kit.deb().read_bytes())
            site.run("dpkg -i /root/package.deb")
        else:
            site.rpm("-i", "--nodeps", str(kit.rpm()))
        top = site.file("/usr/share/doc/cc-slurm-sync")
        links = [
            (page, link)
            for page in sorted(top.rglob("*.md"))
            for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
        ]

        dead = [f"{page.name}: {link}" for page, link in links if not (page.parent / link).exists()]

    assert ([], True) == (dead, len(links) > 0)


@pytest.mark.packages
def test_the_rpm_can_be_installed_upgraded_and_removed(kit: Kit) -> None:
    """The RPM's scripts create user and directories; a removal keeps configuration and spool."""
    with Site([require_tree("bookworm")]) as site:
        site.write("/etc/slurm/slurm.conf", "SlurmUser=daemon\n")
        said = site.rpm("-i", "--nodeps", str(kit.rpm(OLD)))
        owner = site.run("stat -c '%U:%G %a' /var/spool/cc-slurm-sync/new")
        compiled = site.run(f"find {LIBRARY}/spool -name 'cli.*.pyc' | wc -l")
        site.write("/etc/cc-slurm-sync/config.json", "mine")
        site.write("/var/spool/cc-slurm-sync/todo/1-2.json", "{}")
        site.run("mkdir /etc/cc-slurm-sync/test /var/spool/cc-slurm-sync-test")
        versions = [site.run("cc-spool --version")]
        site.rpm("-U", "--nodeps", str(kit.rpm()))
        versions.append(site.run("cc-spool --version"))
        removed = site.rpm("-e", "cc-slurm-sync")
        left = site.run("find / -xdev -path '*cc-slurm-sync*' -type f; find / -xdev -name cc-spool")

    assert "The hooks run as daemon (SlurmUser)" in said
    assert ("daemon:cc-slurm-sync 2770\n", "1\n") == (owner, compiled)
    assert [f"cc-spool {OLD}\n", f"cc-spool {NEW}\n"] == versions
    assert "/var/spool/cc-slurm-sync was kept\n" in removed
    assert "/var/spool/cc-slurm-sync-test was kept\n" in removed
    assert {
        "/etc/cc-slurm-sync/config.json",
        "/var/spool/cc-slurm-sync/todo/1-2.json",
    } == set(left.split())


@pytest.mark.packages
def test_the_rpm_uses_a_later_python_than_the_systems_own(kit: Kit) -> None:
    """Red Hat 9 has Python 3.9; without 3.11 or later the message says what to install."""
    with Site([require_tree("bookworm")]) as site:
        site.run(
            "cd /usr/bin; mv python3.11 python3.12; touch python3.9; ln -sfn python3.9 python3"
        )
        site.rpm("-i", "--nodeps", str(kit.rpm()))
        version = site.run("cc-spool --version")
        site.run("rm /usr/bin/python3.12")
        refused = site.run("cc-spool --version", check=False)

    assert f"cc-spool {NEW}\n" == version
    assert "no Python of 3.11 or later in /usr/bin: install python3.12 or python3.11\n" in refused
