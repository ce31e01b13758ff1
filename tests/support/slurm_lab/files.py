"""The configuration files of the lab's daemons: slurm.conf and the files beside it."""

from __future__ import annotations

import os
import pwd
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

USERS = {"alice": 20001, "bob": 20002}
ACCOUNTS = """\
Cluster - 'lab':Fairshare=1:QOS='normal'
Parent - 'root'
Account - 'k1000':Description='x':Organization='uni':Fairshare=1
Account - 'k2000':Description='y':Organization='uni':Fairshare=1
User - 'root':DefaultAccount='root':AdminLevel='Administrator':Fairshare=1
Parent - 'k1000'
User - 'alice':DefaultAccount='k1000':Fairshare=1
Parent - 'k2000'
User - 'alice':DefaultAccount='k1000':Fairshare=1
User - 'bob':DefaultAccount='k2000':Fairshare=1
"""
PARTITIONS = """\
PartitionName=cpu Nodes=n2cn[001-004] Default=YES {times} PriorityTier=10 PreemptMode=OFF State=UP
PartitionName=gpu Nodes=n2gpu[01-02] {times} PriorityTier=10 PreemptMode=OFF State=UP
PartitionName=low Nodes=n2cn[001-004] {times} PriorityTier=1 PreemptMode=REQUEUE State=UP
PartitionName=whole Nodes=n2cn[001-004] {times} PriorityTier=10 OverSubscribe=EXCLUSIVE State=UP
PartitionName=crowd Nodes=n2cn[001-004] {times} PriorityTier=10 OverSubscribe=FORCE:8 State=UP
""".format(times="MaxTime=INFINITE DefaultTime=01:00:00")
NODES = """\
NodeName=DEFAULT Sockets=2 CoresPerSocket=4 ThreadsPerCore=2 State=UNKNOWN
NodeName=n2cn[001-004] NodeHostname=ctl01 Port=[17001-17004] RealMemory=64000 Feature=icelake,ib
NodeName=n2gpu[01-02] NodeHostname=ctl01 Port=[17011-17012] RealMemory=128000 Gres={gres}
"""
NODE_NAMES = ("n2cn001", "n2cn002", "n2cn003", "n2cn004", "n2gpu01", "n2gpu02")
DATABASE_PASSWORD = "labpass"


@dataclass(frozen=True)
class Settings:
    """The settings of a cluster; the defaults are the usual cluster.

    Attributes:
        accounting: Run slurmdbd and MariaDB too; costs about 2.5 s.
        options: Lines of slurm.conf to add or replace, `{"MinJobAge": "20"}`; an empty value
            removes the line.
        hooks: The project's directory of that name: PrologSlurmctld and EpilogSlurmctld are copies
            of its files that write to the lab's spool.
        slurm_user: The account that slurmctld, slurmdbd and the hooks run as.
        spools: Names of the spools. With several the hooks are scripts of the site's own that run
            ours once for each, so that several drains get each job.
        tree: Directory with another release of Debian, whose Slurm is used instead of ours.
        gpu_type: Slurm's type of the four GPUs of a node.
        more_gres: Definition of a GRES of GPU nodes without devices, `bandwidth:lustre:4G`.
    """

    accounting: bool = True
    hooks: Path | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    slurm_user: str = "slurm"
    spools: tuple[str, ...] = ("spool",)
    tree: Path | None = None
    gpu_type: str = "a100"
    more_gres: str = ""


def slurm_conf(root: Path, settings: Settings) -> str:
    """Return slurm.conf for a lab below `root`."""
    options = {
        "ClusterName": "lab",
        "SlurmctldHost": "ctl01",
        "SlurmUser": settings.slurm_user,
        "SlurmdUser": "root",
        "AuthType": "auth/munge",
        "StateSaveLocation": f"{root}/ctld",
        "SlurmdSpoolDir": f"{root}/slurmd/%n",
        "SlurmctldPidFile": f"{root}/pid/slurmctld.pid",
        "SlurmdPidFile": f"{root}/pid/slurmd-%n.pid",
        "SlurmctldLogFile": f"{root}/log/slurmctld.log",
        "SlurmdLogFile": f"{root}/log/slurmd-%n.log",
        "MpiDefault": "none",
        "ProctrackType": "proctrack/linuxproc",
        "SlurmdParameters": "config_overrides",  # a made-up topology drains the nodes otherwise
        "ReturnToService": "2",
        "SlurmdTimeout": "300",
        "KillWait": "3",
        "MinJobAge": "300",
        "FirstJobId": "1000",
        "SchedulerType": "sched/backfill",
        "SchedulerParameters": "bf_interval=1,sched_interval=1,batch_sched_delay=0",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core_Memory",
        "PreemptType": "preempt/partition_prio",
        "PreemptMode": "REQUEUE",
        "DefMemPerCPU": "1000",
        "GresTypes": "gpu",
    }
    if settings.accounting:
        options |= {
            "AccountingStorageType": "accounting_storage/slurmdbd",
            "AccountingStorageHost": "localhost",
            "AccountingStorageEnforce": "associations",
            "AccountingStorageTRES": "gres/gpu,gres/gpu:a100",
            "AccountingStoreFlags": "job_comment,job_script,job_env",
            "PriorityType": "priority/multifactor",
        }
    if settings.hooks:
        options |= {
            "PrologSlurmctld": f"{root}/hooks/prolog_slurmctld",
            "EpilogSlurmctld": f"{root}/hooks/epilog_slurmctld",
        }
    options |= settings.options
    lines = "".join(f"{key}={value}\n" for key, value in options.items() if value)
    gres = ",".join(filter(None, (f"gpu:{settings.gpu_type}:4", settings.more_gres)))
    return lines + NODES.format(gres=gres) + PARTITIONS


def gres_conf(root: Path, settings: Settings) -> str:
    """Return gres.conf: four GPUs a node, two at each socket, all made up."""
    lines = ["AutoDetect=off"]
    lines += [
        f"NodeName=n2gpu[01-02] Name=gpu Type={settings.gpu_type} File={root}/dev/nvidia{numbers}"
        f" Cores={cores}"
        for numbers, cores in (("[0-1]", "0-3"), ("[2-3]", "4-7"))
    ]
    if settings.more_gres:
        name, *_, count = settings.more_gres.split(":")
        lines.append(f"NodeName=n2gpu[01-02] Name={name} Count={count} Flags=CountOnly")
    return "".join(f"{line}\n" for line in lines)


def slurmdbd_conf(root: Path, settings: Settings) -> str:
    """Return slurmdbd.conf; slurmdbd requires that only its user can read it."""
    return f"""\
AuthType=auth/munge
DbdHost=localhost
SlurmUser={settings.slurm_user}
DebugLevel=info
LogFile={root}/log/slurmdbd.log
PidFile={root}/pid/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=slurm
StoragePass={DATABASE_PASSWORD}
StorageLoc=slurm_acct_db
"""


def lay_out(root: Path, settings: Settings) -> None:
    """Make every directory and file that the daemons expect below `root`."""
    root.chmod(0o755)  # SlurmUser and the users of jobs pass through
    owner = pwd.getpwnam(settings.slurm_user)
    for name in ("etc/slurm", "bin", "dev", "home", "hooks", "mysql", "run"):
        (root / name).mkdir(parents=True)
    for name in ("ctld", "log", "pid"):
        _directory(root / name, owner.pw_uid, owner.pw_gid)
    for name in NODE_NAMES:
        (root / "slurmd" / name).mkdir(parents=True)
    for index in range(4):
        os.mknod(root / "dev" / f"nvidia{index}", 0o020666, os.makedev(1, 3))
    munge = pwd.getpwnam("munge")
    _directory(root / "run" / "munge", munge.pw_uid, munge.pw_gid)
    mysql = pwd.getpwnam("mysql") if settings.accounting else munge
    _directory(root / "run" / "mysqld", mysql.pw_uid, mysql.pw_gid)
    _directory(root / "munge", munge.pw_uid, munge.pw_gid, mode=0o700)
    _private(root / "munge" / "key", secrets.token_hex(64), munge)
    for name, uid in USERS.items():
        _directory(root / "home" / name, uid, uid)
    _system_files(root / "etc")
    for name in settings.spools:
        _spool(root / name, owner)
    if settings.hooks:
        _hooks(settings.hooks, root, settings.spools)
    write_slurm_files(root, settings)
    _private(root / "etc" / "slurm" / "slurmdbd.conf", slurmdbd_conf(root, settings), owner)


def write_slurm_files(root: Path, settings: Settings) -> None:
    """Write slurm.conf, gres.conf, cgroup.conf and the accounts."""
    slurm = root / "etc" / "slurm"
    (slurm / "slurm.conf").write_text(slurm_conf(root, settings))
    (slurm / "gres.conf").write_text(gres_conf(root, settings))
    # No cgroup is touched; without the line slurmd looks for a mount. Slurm 22.05 to 23.11 do
    # not know `disabled`; 24.05 and later accept only `disabled`.
    plugin = "disabled" if settings.tree else "cgroup/v1"
    (slurm / "cgroup.conf").write_text(f"CgroupPlugin={plugin}\n")
    (root / "etc" / "accounts").write_text(ACCOUNTS)


def _system_files(etc: Path) -> None:
    """Write the hosts, passwd and group files that replace those in /etc inside the lab."""
    # A host name on the line of 127.0.0.1 would make every AllocNode `localhost`.
    (etc / "hosts").write_text("127.0.0.1 localhost\n10.20.0.1 ctl01\n")
    home = etc.parent / "home"
    # no `x`: su, by which slurmd asks for a user's environment, would miss them in /etc/shadow
    passwd = [f"{name}:*:{uid}:{uid}::{home}/{name}:/bin/sh\n" for name, uid in USERS.items()]
    group = [f"{name}:x:{uid}:\n" for name, uid in USERS.items()]
    (etc / "passwd").write_text(Path("/etc/passwd").read_text() + "".join(passwd))
    (etc / "group").write_text(Path("/etc/group").read_text() + "".join(group))


def _spool(spool: Path, owner: pwd.struct_passwd) -> None:
    """Make the directories of a spool; SlurmUser may write to the one for events."""
    _directory(spool, 0, 0)
    for name in ("todo", "open", "dead", "tmp"):
        _directory(spool / name, 0, 0, mode=0o750)
    _directory(spool / "new", owner.pw_uid, 0, mode=0o2770)


def _hooks(source: Path, root: Path, spools: tuple[str, ...]) -> None:
    """Copy the hooks to where SlurmUser can read them, and write the lab's spool into them."""
    line = "#CC_SLURM_SYNC_SPOOL=/var/spool/cc-slurm-sync"
    hooks = root / "hooks"
    for spool in spools:
        folder = hooks if len(spools) == 1 else hooks / spool
        folder.mkdir(exist_ok=True)
        for path in source.iterdir():
            text = path.read_text().replace(line, f"CC_SLURM_SYNC_SPOOL={root}/{spool}")
            _program(folder / path.name, text)
    if len(spools) > 1:
        for name in ("prolog_slurmctld", "epilog_slurmctld"):
            calls = "".join(f"{hooks}/{spool}/{name}\n" for spool in spools)
            _program(hooks / name, f"#!/bin/sh\n{calls}exit 0\n")


def _program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def _directory(path: Path, uid: int, gid: int, mode: int = 0o755) -> None:
    path.mkdir(parents=True)
    os.chown(path, uid, gid)
    path.chmod(mode)


def _private(path: Path, text: str, owner: pwd.struct_passwd) -> None:
    path.write_text(text)
    path.chmod(0o600)
    os.chown(path, owner.pw_uid, owner.pw_gid)
