"""The bodies that handlers decode, per release. Source: cc-lib schema, cc-backend internal/api."""

from __future__ import annotations

from functools import cache

from stub_backend.release import Release
from stub_backend.wire.gojson import Dictionary, Int, Items, Real, Shape, Struct, Text

_INT = Int(64, "int64")
_INT32 = Int(32, "int32")
_TEXT = Text()
_BASE: dict[str, Shape] = {
    "jobId": _INT,
    "user": _TEXT,
    "project": _TEXT,
    "cluster": _TEXT,
    "subCluster": _TEXT,
    "partition": _TEXT,
    "arrayJobId": _INT,
    "numNodes": _INT32,
    "numHwthreads": _INT32,
    "numAcc": _INT32,
    "monitoringStatus": _INT32,
    "smt": _INT32,
    "jobState": Text("schema.JobState"),
    "duration": _INT32,
    "walltime": _INT,
    "metaData": Dictionary(_TEXT, "map[string]string"),
    "concurrentJobs": Struct("JobLinkResultList", {"count": Int(64, "int")}),
}
_RESOURCE = Struct(
    "Resource",
    {
        "hostname": _TEXT,
        "hwthreads": Items(Int(64, "int"), "[]int"),
        "accelerators": Items(_TEXT, "[]string"),
        "configuration": _TEXT,
    },
    "schema.Resource",
)
_FOOTPRINT = Dictionary(Real(), "map[string]float64", 0.0)


@cache
def tag(release: Release) -> Struct:
    """Return the shape of one tag: `{"type", "name", "scope"}`."""
    fields: dict[str, Shape] = {"id": _INT, "type": _TEXT, "name": _TEXT}
    return Struct("Tag", fields | ({"scope": _TEXT} if release.has_scopes else {}), "schema.Tag")


@cache
def start(release: Release) -> Struct:
    """Return the shape of the body of start_job."""
    base = _BASE | {
        "resources": Items(_RESOURCE, "[]*schema.Resource"),
        "tags": Items(tag(release), "[]*schema.Tag"),
    }
    own: dict[str, Shape] = {
        "id": _INT,
        "startTime": _INT,
        "statistics": Dictionary(_TEXT, "map[string]schema.JobStatistics"),
    }
    if release.has_scopes:
        base |= {"footprint": _FOOTPRINT, "energyFootprint": _FOOTPRINT, "energy": Real()}
    if release.is_new:
        new: dict[str, Shape] = {"shared": _TEXT, "submitTime": _INT, "requestedMemory": _INT}
        return Struct("Job", base | own | new, "schema.Job")
    base["exclusive"] = _INT32
    return Struct("JobMeta", base | own, "schema.JobMeta", dict.fromkeys(base, "BaseJob"))


def _named(release: Release, name: str) -> str:
    """Return the name of a request type; 1.5.0 changed the spelling."""
    return name.replace("Api", "API") if release.is_new else name


@cache
def stop(release: Release) -> Struct:
    """Return the shape of the body of stop_job."""
    fields: dict[str, Shape] = {
        "jobId": _INT,
        "cluster": _TEXT,
        "startTime": _INT,
        "stopTime": _INT,
        "jobState": Text("schema.JobState"),
    }
    name = _named(release, "StopJobApiRequest")
    return Struct(name, fields, f"api.{name}")


@cache
def delete(release: Release) -> Struct:
    """Return the shape of the body of delete_job."""
    name = _named(release, "DeleteJobApiRequest")
    return Struct(name, {"jobId": _INT, "cluster": _TEXT, "startTime": _INT}, f"api.{name}")


@cache
def tags(release: Release) -> Items:
    """Return the shape of the body of tag_job."""
    return Items(tag(release), f"api.{_named(release, 'TagJobApiRequest')}")


EDIT_META = Struct("EditMetaRequest", {"key": _TEXT, "value": _TEXT}, "api.EditMetaRequest")
EDIT_META_BY_TUPLE = Struct(
    "JobMetaRequest",
    {"jobId": _INT, "cluster": _TEXT, "startTime": _INT, "payload": EDIT_META},
    "api.JobMetaRequest",
)
NODE_STATE = Struct(
    "UpdateNodeStatesRequest",
    {
        "cluster": _TEXT,
        "nodes": Items(
            Struct(
                "NodePayload",
                {
                    "hostname": _TEXT,
                    "states": Items(_TEXT, "[]string"),
                    "cpusAllocated": Int(64, "int"),
                    "memoryAllocated": _INT,
                    "gpusAllocated": Int(64, "int"),
                    "jobsRunning": Int(64, "int"),
                },
            ),
            "[]api.NodePayload",
        ),
    },
    "api.UpdateNodeStatesRequest",
)
