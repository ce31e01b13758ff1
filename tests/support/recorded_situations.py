"""The expected outcome of each recorded situation, derived from what the recorded client did.

By default a request is valid; the table lists the requests with an error and never depends on the
answer's text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from backend_version import parse_version
from recorded_backend import Recorded, exchanges

from ccbackend.outcomes import ApiCall, Outcome
from ccbackend.version import Version, server_info

DONE, BEFORE, CONFIRM = Outcome.DELIVERED, Outcome.ALREADY_THERE, Outcome.CONFIRM
AMEND, START, CONFLICT = Outcome.AMEND, Outcome.NEEDS_START, Outcome.CONFLICT
LATER, RETRY, REJECTED, HALT = Outcome.LATER, Outcome.RETRY, Outcome.REJECTED, Outcome.HALT

# Scenario, pattern of "call note" (whole text), releases from ... to (both included), outcome.
# The first matching row counts.
TABLE: tuple[tuple[str, str, str, str, Outcome], ...] = (
    # tokens and accounts
    ("auth-none", ".*", "1.0.0", "1.5.4", HALT),
    ("auth-bad-signature", ".*", "1.0.0", "1.5.4", HALT),
    ("auth-expired", ".*(expired|not before).*", "1.0.0", "1.5.4", HALT),
    ("auth-expired", ".*issued in 2100.*", "1.0.0", "1.2.2", HALT),
    ("auth-expired", "start no iat.*", "1.3.0", "1.4.4", CONFLICT),  # the same run as before
    ("auth-expired", "start no iat.*", "1.5.0", "1.5.4", BEFORE),
    ("auth-malformed", "(?!.*blank behind).*", "1.0.0", "1.5.4", HALT),
    ("auth-bearer-header", ".*(lower case|X-Auth-Token bad).*", "1.0.0", "1.5.4", HALT),
    ("auth-bearer-header", "start (no prefix|X-Auth.*).*", "1.0.0", "1.4.4", CONFLICT),
    ("auth-bearer-header", "start (no prefix|X-Auth.*).*", "1.5.0", "1.5.4", BEFORE),
    ("auth-role-both", "(?!graphql).*", "1.4.0", "1.5.4", HALT),
    ("auth-role-user", "(?!graphql).*", "1.0.0", "1.5.4", HALT),
    ("auth-unknown-user", ".*validation on, unknown.*", "1.0.0", "1.5.4", HALT),
    ("auth-unknown-user", "(?!graphql).*table says user.*", "1.0.0", "1.5.4", HALT),
    ("auth-ip-denied", "(?!graphql)\\w+ (only.*, (list|start)|star.*)", "1.4.4", "1.5.4", HALT),
    ("auth-ip-denied", ".*X-Forwarded-For.*, 198.*", "1.4.4", "1.5.4", HALT),
    ("auth-ip-denied", "(?!graphql)\\w+ empty list.*", "1.4.4", "1.4.4", HALT),
    ("graphql-no-auth", ".*(none|bad|expired)", "1.0.0", "1.5.4", HALT),
    # paths and methods
    ("double-slash", ".*", "1.0.0", "1.5.4", HALT),
    ("slashless-jobs", "(nodestate|clusters).*", "1.0.0", "1.2.2", REJECTED),
    ("slashless-jobs", "nodestate.*", "1.3.0", "1.4.4", REJECTED),
    ("slashless-jobs", ".*", "1.0.0", "1.5.4", HALT),
    ("slashless-start", ".*", "1.0.0", "1.5.4", HALT),
    ("slashless-stop", ".*no trailing slash", "1.0.0", "1.5.4", HALT),
    ("unknown-path-.*", ".*", "1.0.0", "1.5.4", HALT),
    ("wrong-method", "graphql.*", "1.0.0", "1.5.4", REJECTED),
    ("wrong-method", "clusters.*", "1.0.0", "1.4.4", REJECTED),  # no other method would succeed
    ("wrong-method", "start OPTIONS .*", "1.0.0", "1.4.4", RETRY),  # 200 without a word
    ("wrong-method", ".*", "1.0.0", "1.5.4", HALT),
    ("nats-mode", "(start|stop) .*", "1.5.0", "1.5.4", HALT),
    # starts
    ("start-bad-types", "start resources = \\[null\\]", "1.0.0", "1.5.4", LATER),
    ("start-bad-types", 'start cluster = (null|"")', "1.0.0", "1.5.4", HALT),
    ("start-bad-types", "start jobId = 0", "1.0.0", "1.3.1", CONFLICT),  # null was sent as 0 before
    ("start-bad-types", "start jobId = 0", "1.4.2", "1.4.4", CONFLICT),
    ("start-bad-types", "start jobId = 0", "1.5.0", "1.5.4", BEFORE),
    ("start-bad-types", 'start \\w+ = (".+"|[\\d.]+\\.\\d|9223372036854775808|true)',
     "1.0.0", "1.5.4", REJECTED),
    ("start-bad-types", "start num\\w+ = (-1|2147483648)", "1.0.0", "1.5.4", REJECTED),
    ("start-bad-types", "start numNodes = (0|null)", "1.0.0", "1.5.4", REJECTED),
    ("start-bad-types", "start (user|cluster|project|partition) = 1", "1.0.0", "1.5.4", REJECTED),
    ("start-bad-types", 'start user = (null|"")', "1.0.0", "1.5.4", REJECTED),
    ("start-bad-types", "start resources = (?!.*: \\[\\]).*", "1.0.0", "1.5.4", REJECTED),
    ("start-not-json", "start null", "1.0.0", "1.5.4", HALT),  # a job without cluster
    ("start-not-json", "(?!start two documents).*", "1.0.0", "1.5.4", REJECTED),
    ("start-empty-body", "start empty object", "1.0.0", "1.5.4", HALT),
    ("start-empty-body", ".*", "1.0.0", "1.5.4", REJECTED),
    ("start-missing-each-required-field", ".*without cluster", "1.0.0", "1.5.4", HALT),
    ("start-missing-each-required-field", ".*without hostname", "1.0.0", "1.5.4", LATER),
    ("start-missing-each-required-field", ".*(user|numNodes|resources)", "1.0.0", "1.5.4",
     REJECTED),
    ("start-unknown-cluster", ".*", "1.0.0", "1.5.4", HALT),
    ("start-unknown-host", "start host .*", "1.0.0", "1.5.4", LATER),
    ("start-second-host-unknown", ".*first unknown.*", "1.0.0", "1.5.4", LATER),
    ("start-bad-subcluster", "start unknown", "1.0.0", "1.5.4", LATER),
    ("start-unknown-field", "(?!.*lower case).*", "1.0.0", "1.5.4", REJECTED),
    ("start-numnodes-mismatch", ".*", "1.0.0", "1.5.4", REJECTED),
    ("start-metadata-nonstring", 'start metaData (\\{"a": [^n].*|\\[\\]|"text")',
     "1.0.0", "1.5.4", REJECTED),
    ("start-ok-exclusive-dialect", "start exclusive .*", "1.5.0", "1.5.4", AMEND),
    ("start-ok-shared-dialect", "start shared .*", "1.0.0", "1.4.4", AMEND),
    ("start-ok-shared-dialect", "start both fields", "1.0.0", "1.5.4", AMEND),
    ("start-ok-shared-dialect", "start shared '(bogus|NONE|)'", "1.5.0", "1.5.4", REJECTED),
    ("start-ok-exclusive-dialect", "start exclusive 3", "1.4.0", "1.4.1", CONFIRM),
    ("start-ok-exclusive-dialect", "start exclusive 3", "1.0.0", "1.4.4", REJECTED),
    ("start-smt", "start smt [24]", "1.4.0", "1.4.1", CONFIRM),
    ("start-smt", "start smt [24]", "1.0.0", "1.5.4", REJECTED),
    ("start-monitoring-status", "start monitoringStatus 4", "1.4.0", "1.4.1", CONFIRM),
    ("start-monitoring-status", "start monitoringStatus 4", "1.0.0", "1.5.4", REJECTED),
    ("start-monitoring-status", "stop .* 4", "1.4.0", "1.4.1", LATER),
    ("start-monitoring-status", "stop .* 4", "1.0.0", "1.5.4", START),
    ("start-jobstate-field", "start jobState '(pending|bogus)'", "1.0.0", "1.4.2", REJECTED),
    ("start-jobstate-field", "stop .* as completed", "1.0.0", "1.4.2", BEFORE),
    ("start-submittime-requestedmemory", "start (submitTime|requestedMemory)", "1.0.0", "1.4.4",
     REJECTED),
    ("start-submittime-requestedmemory", "start (footprint|energy)", "1.0.0", "1.3.1", REJECTED),
    ("start-tags", "start (with scope|tag by) .*", "1.0.0", "1.3.1", REJECTED),
    ("start-tags", "start the same job again", "1.0.0", "1.5.4", CONFLICT),
    # the same run, another run
    ("start-twice", "start .*after the stop", "1.0.0", "1.5.4", CONFLICT),
    ("start-twice", "start .*third, after the commit", "1.5.0", "1.5.4", CONFLICT),
    ("start-twice", "start (.*second, at once|same tuple.*)", "1.0.0", "1.4.4", CONFLICT),
    ("start-twice", "start (.*second, at once|same tuple.*)", "1.5.0", "1.5.4", BEFORE),
    ("start-older-instance", "start start .*", "1.0.0", "1.5.4", CONFLICT),
    ("start-requeue-after-24h", "start (\\+86399|.*again)", "1.0.0", "1.5.4", CONFLICT),
    ("start-requeue-within-24h", "start cached: second run before .*", "1.5.0", "1.5.4", DONE),
    ("start-requeue-within-24h", "start .*second run .*", "1.0.0", "1.5.4", CONFLICT),
    ("start-requeue-within-24h", "stop cached: .*second run of the other.*", "1.5.0", "1.5.4",
     DONE),
    ("start-requeue-within-24h", "stop .*second run.*", "1.4.0", "1.4.1", LATER),
    ("start-requeue-within-24h", "stop .*second run.*", "1.0.0", "1.5.4", START),
    ("delete-then-restart", "start the deleted tuple again.*", "1.0.0", "1.4.4", CONFLICT),
    ("delete-then-restart", "start cached: the deleted tuple.*", "1.5.0", "1.5.4", BEFORE),
    ("delete-then-restart", "delete cached: delete of a running job", "1.5.0", "1.5.4", LATER),
    ("delete-job", "delete (no jobId|no body)", "1.0.0", "1.5.4", REJECTED),
    ("delete-job", "delete text as id", "1.0.0", "1.5.4", HALT),
    ("delete-job", "delete same again by id", "1.0.0", "1.5.4", DONE),
    ("delete-job", "delete (unknown tuple|same again|.*off by one)", "1.0.0", "1.4.4", BEFORE),
    ("delete-job", "delete (unknown tuple|same again|.*off by one)", "1.5.0", "1.5.4", LATER),
    ("delete-job", "delete while cached", "1.5.0", "1.5.4", LATER),
    ("delete-job", "stop of the deleted job|stop stop of.*", "1.4.0", "1.4.1", LATER),
    ("delete-job", "stop stop of.*", "1.0.0", "1.5.4", START),
    # stops
    ("stop-before-start", "stop (stopTime = startTime (-1|\\+0)|stopTime negative)",
     "1.0.0", "1.3.1", BEFORE),  # the text does not show which of two causes
    ("stop-before-start", "stop stopTime (= startTime -1|negative)", "1.4.0", "1.5.4", AMEND),
    ("stop-before-start", "stop stopTime = startTime \\+0", "1.4.0", "1.4.2", AMEND),
    ("stop-missing-stoptime", "stop (absent|null)", "1.0.0", "1.3.1", BEFORE),
    ("stop-missing-stoptime", "stop (absent|null)", "1.4.0", "1.5.4", AMEND),
    ("stop-missing-stoptime", "stop text", "1.0.0", "1.5.4", REJECTED),
    ("stop-no-jobid", "stop .*", "1.0.0", "1.5.4", REJECTED),
    ("stop-unknown-field", "stop .*", "1.0.0", "1.5.4", REJECTED),
    ("stop-ok", "stop jobState '(node_fail|boot_fail|deadline|pending|suspended)'",
     "1.0.0", "1.4.4", AMEND),
    ("stop-ok", "stop jobState 'stopped'", "1.5.0", "1.5.4", AMEND),
    ("stop-ok", "stop jobState '(revoked|bogus|COMPLETED)'", "1.0.0", "1.5.4", AMEND),
    ("stop-ok", "stop again as completed, after 'stopped'", "1.0.0", "1.4.4", BEFORE),
    ("stop-ok", "stop again as completed, after 'pending'", "1.5.0", "1.5.4", BEFORE),
    ("stop-twice", "stop (?!first).*", "1.0.0", "1.5.4", BEFORE),
    ("stop-immediately-after-start", "stop stop 4", "1.4.0", "1.4.0", LATER),  # still queued
    ("stop-immediately-after-start", "stop stop 4 again", "1.4.0", "1.4.0", DONE),
    ("stop-immediately-after-start", "stop .* again", "1.0.0", "1.5.4", BEFORE),
    ("stop-unknown", "stop .*", "1.4.0", "1.4.1", LATER),
    ("stop-unknown", "stop .*", "1.0.0", "1.5.4", START),
    ("stop-wrong-cluster", "stop (other|unknown|empty)", "1.4.0", "1.4.1", LATER),
    ("stop-wrong-cluster", "stop (other|unknown|empty)", "1.0.0", "1.5.4", START),
    ("stop-without-starttime", "stop .*between both", "1.4.0", "1.5.4", AMEND),
    ("stop-without-starttime", "stop .*after both", "1.0.0", "1.3.1", BEFORE),
    ("stop-without-starttime", "stop .*third time", "1.0.0", "1.5.4", BEFORE),
    ("stop-by-dbid", "stop by database id 1 PUT", "1.0.0", "1.3.1", BEFORE),
    ("stop-by-dbid", "stop by database id 1.*", "1.0.0", "1.3.1", DONE),
    ("stop-by-dbid", "stop unknown database id", "1.0.0", "1.3.1", START),
    ("stop-by-dbid", "stop .*", "1.0.0", "1.5.4", HALT),
    # metadata of a stored run
    ("edit-meta-tuple", "edit_meta POST", "1.0.0", "1.4.4", HALT),
    ("edit-meta-tuple", "edit_meta .*", "1.0.0", "1.4.4", REJECTED),
    ("edit-meta-tuple", "edit_meta POST", "1.5.0", "1.5.4", REJECTED),
    ("edit-meta-tuple", "edit_meta (unknown|cached)", "1.5.0", "1.5.4", LATER),
    # reading
    ("clusters", "clusters .*", "1.0.0", "1.2.2", REJECTED),
    ("clusters", "clusters unknown", "1.3.0", "1.5.4", REJECTED),
    ("graphql-bad-query", "graphql slash", "1.0.0", "1.5.4", HALT),
    ("graphql-bad-query", "graphql GET", "1.4.4", "1.5.4", REJECTED),
    ("graphql-bad-query", "graphql unknown state", "1.0.0", "1.4.4", LATER),
    ("graphql-bad-query", "graphql bogus state", "1.0.0", "1.5.4", LATER),
    ("graphql-bad-query", "graphql introspection", "1.4.4", "1.5.4", LATER),
    ("graphql-bad-query", "graphql wrong order.*", "1.4.0", "1.5.4", REJECTED),
    ("graphql-bad-query",
     "graphql (syntax|unknown f.*|wrong variable.*|not JSON|empty body|text/plain)",
     "1.0.0", "1.5.4", REJECTED),
    ("graphql-by-id", "graphql job\\(id\\).*", "1.0.0", "1.5.4", LATER),
    ("graphql-items-minus-one", ".*hasNextPage", "1.0.0", "1.2.2", REJECTED),
    ("graphql-items-minus-one", "graphql itemsPerPage 0.*", "1.5.4", "1.5.4", LATER),
    ("list-filters", ".*(bogus|state=|=1767225600|=1767225600-|=-1767225600|a-b)",
     "1.0.0", "1.5.4", REJECTED),
    ("list-filters", ".*(page=x|jobId=.*|user=.*|items_per_page.*|State=.*)", "1.0.0", "1.5.4",
     REJECTED),
    ("list-filters", ".*items-per-page=(0|-1)", "1.5.4", "1.5.4", REJECTED),
    ("list-filters", ".*\\?page=(0|-1)", "1.5.0", "1.5.4", REJECTED),
    ("list-filters", ".*project=.*", "1.0.0", "1.4.4", REJECTED),
    ("nodestate", ".*", "1.0.0", "1.4.4", REJECTED),
    ("nodestate", "nodestate (unknown field|states as text|no body|not JSON)", "1.5.0", "1.5.4",
     REJECTED),
)  # fmt: skip

CALLS = (
    ("start_job", ApiCall.START),
    ("stop_job", ApiCall.STOP),
    ("delete_job", ApiCall.DELETE),
    ("nodestate", ApiCall.NODESTATE),
    ("clusters", ApiCall.CLUSTERS),
    ("query", ApiCall.GRAPHQL),
)


def call_of(path: str) -> ApiCall | None:
    """Return the call that a path means, even if misspelled; None for other endpoints."""
    plain = path.partition("?")[0]
    if plain.endswith("/edit_meta/"):
        return ApiCall.EDIT_META
    for word, call in CALLS:
        if word in plain:
            return call
    return ApiCall.LISTING if plain.rstrip("/").endswith("/api/jobs") else None


def asked(release: str) -> Iterator[tuple[Recorded, ApiCall]]:
    """Yield all recorded exchanges of the calls that this program makes."""
    for each in exchanges(release):
        call = call_of(each.request.path)
        if call is not None and each.answer.status:
            yield each, call


def situation(each: Recorded, call: ApiCall) -> str:
    """Return call and note, with a suffix or method where notes would be equal."""
    text = f"{call} {each.note}"
    if each.scenario == "wrong-method":
        return f"{call} {each.request.method} {each.note}"
    if each.request.path.endswith("delete_job/5") and each.note == "same again":
        return f"{text} by id"
    is_put = each.note == "by database id 1" and each.request.method == "PUT"
    return f"{text} PUT" if is_put else text


@cache
def row_for(scenario: str, text: str, version: Version) -> int | None:
    """Return the index of the table's row for a situation; None if the request is valid."""
    for index, (name, pattern, first, last, _) in enumerate(TABLE):
        if (
            re.fullmatch(name, scenario)
            and re.fullmatch(pattern, text)
            and parse_version(first) <= version <= parse_version(last)
        ):
            return index
    return None


def expected(each: Recorded, call: ApiCall) -> Outcome:
    """Return the expected outcome of an exchange."""
    version = parse_version(each.version)
    row = row_for(each.scenario, situation(each, call), version)
    if row is not None:
        return TABLE[row][4]
    queued = call is ApiCall.START and server_info(version).queues_starts
    return CONFIRM if queued else DONE
