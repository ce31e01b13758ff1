"""The packages of the project, and Debian systems that they are installed in, under a real systemd.

`with Site(kit.layers("trixie")) as site: site.start_slurm()`. A system is an overlay on a tree that
is kept, so nothing that a test does to it remains, even if the test process is killed.
"""

from __future__ import annotations

from package_lab.builds import NEW, OLD, ROOT, Kit, build_packages, require_tools
from package_lab.machine import Machine, MachineError
from package_lab.site import HOOKS, SPOOL, Site
from package_lab.trees import NEXT_SUITE, SUITES, require_tree

__all__ = [
    "HOOKS",
    "NEW",
    "NEXT_SUITE",
    "OLD",
    "ROOT",
    "SPOOL",
    "SUITES",
    "Kit",
    "Machine",
    "MachineError",
    "Site",
    "build_packages",
    "require_tools",
    "require_tree",
]
