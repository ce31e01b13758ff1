"""The packages of the project, installed in Debian systems that run a real systemd.

`with Site(kit.layers("trixie")) as site: site.start_slurm()`. A system is an overlay on a cached
tree, so no change by a test remains, even if the test process is killed.
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
