"""Checks across keys: settings that contradict each other, and settings that need a warning."""

from __future__ import annotations

import itertools
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from ccbackend.token import is_loopback
from slurm.type_names import Any
from spool.config.keys import DAY_SECONDS
from spool.config.nats_rules import nats_conflicts, nats_warnings
from spool.config.read import Document
from spool.config.schema import Config
from spool.errors import ConfigProblem
from spool.escaping import escape

# A sample is a name made from a pattern and is used only if the pattern matches it, so every
# reported overlap is real; overlaps that the samples miss are found by comparing with the site's
# real hosts.
_SAMPLES = 64
_PIECE = r"""
    (?P<class>\[\^?\]?[^\]]*\])
    | \((?:\?:)?(?P<words>[^()\\\[]*)\)
    | \\(?P<escaped>.)
    | (?P<mark>[\^$])
    | (?P<plain>.)
    """
_NAME = r"[A-Za-z0-9_.-]+"
_COUNT = r"[*+?]|\{([0-9]*)[0-9,]*\}"
_CLASSES = {"d": "0", "w": "a", "s": " ", "b": "", "A": "", "Z": ""}
_LONGEST_COUNT = 16


def sample_names(pattern: str) -> tuple[str, ...]:
    """Return some names that a pattern matches; none if the pattern is too complex."""
    branches = [pattern] if "(" in pattern or "[" in pattern else pattern.split("|")
    options = itertools.chain.from_iterable(
        itertools.product(*_piece_texts(branch)) for branch in branches
    )
    names = ("".join(pieces) for pieces in itertools.islice(options, _SAMPLES))
    compiled = re.compile(pattern)
    return tuple(name for name in names if re.fullmatch(_NAME, name) and compiled.search(name))


def overlaps(patterns: Sequence[str], names: Iterable[str] = ()) -> Iterator[tuple[str, str, str]]:
    """Yield (first, second, name) for every two patterns that match a common name.

    The first pattern decides, because they are tried in order. `names` are real host names.
    """
    real = tuple(names)
    for first, second in itertools.combinations(patterns, 2):
        both = (re.compile(first), re.compile(second))
        for name in (*sample_names(second), *sample_names(first), *real):
            if all(compiled.search(name) for compiled in both):
                yield first, second, name
                break


def is_anchored(pattern: str) -> bool:
    r"""Return whether a pattern begins with `^` or `\A` and ends with `$` or `\Z`."""
    # without escapes and sets of characters, then without groups
    plain = re.sub(r"\\[^AZ]|\[\^?\]?[^\]]*\]", "", pattern)
    while plain != (outside := re.sub(r"\([^()]*\)", "", plain)):
        plain = outside
    # `^a|b$` is two patterns, each with one anchor
    return plain.startswith(("^", r"\A")) and plain.endswith(("$", r"\Z")) and "|" not in plain


def _piece_texts(pattern: str) -> Iterator[tuple[str, ...]]:
    """Yield sample texts for each piece of a pattern: "n", then "1" and "2", for `n(1|2)`."""
    any_piece, any_count = re.compile(_PIECE, re.VERBOSE), re.compile(_COUNT)
    position = 0
    while position < len(pattern):
        found = any_piece.match(pattern, position)
        if found is None:  # a line break
            return
        position = found.end()
        texts = _texts(found)
        count = any_count.match(pattern, position)
        if count:
            position = count.end()
            times = min(int(count[1] or 1), _LONGEST_COUNT)
            texts = tuple(text * times for text in texts)
        yield texts


def _texts(piece: re.Match[str]) -> tuple[str, ...]:
    if piece["words"] is not None:
        return tuple(piece["words"].split("|"))
    if piece["class"] is not None:
        return (_class_member(piece["class"]),)
    if piece["escaped"] is not None:
        return (_CLASSES.get(piece["escaped"], piece["escaped"]),)
    if piece["mark"] is not None:
        return ("",)
    return ("0" if piece["plain"] == "." else piece["plain"],)


def _class_member(characters: str) -> str:
    """Return one sample character that a class such as `[2-6]` matches: its first, if it can."""
    inner = characters[1:-1].removeprefix("^")
    if characters.startswith("[^"):
        return next((c for c in "0a-" if c not in inner), "")
    return _CLASSES.get(inner[1:2], inner[1:2]) if inner.startswith("\\") else inner[:1]


CC_COMMIT_SECONDS = 120  # cc-backend >= 1.5 moves new jobs from its cache every 2 min by default


def conflicts_of(config: Config, document: Document) -> Iterator[ConfigProblem]:
    """Yield the contradictions between keys, or between a key and the file's mode."""
    backend = document.values.get("cc-backend")
    raw: dict[str, Any] = backend if isinstance(backend, dict) else {}
    if document.mode & stat.S_IROTH and raw.get("apikey") is not None:
        hint = "`chmod o=` the file, or write the token to its own file (cc-backend.token_file)"
        yield ConfigProblem(
            path="cc-backend.apikey", problem="other users can read this file", hint=hint
        )
    if document.mode & stat.S_IWOTH:
        yield ConfigProblem(
            path="the file", problem="other users can change it", hint="`chmod o-w` the file"
        )
    if config.cc_backend.token_file is None and raw.get("apikey") is None:
        hint = "set it to the path of the file with the token"
        yield ConfigProblem(path="cc-backend.token_file", problem="there is no token", hint=hint)
    allowed = document.values.get("allow_plain_http", False)
    if is_plain_http(raw.get("host")) and allowed is False:
        hint = "use https, or set allow_plain_http if the network is trusted"
        yield ConfigProblem(
            path="cc-backend.host", problem="http sends the token unencrypted", hint=hint
        )
    yield from _directory_conflicts(config)
    yield from nats_conflicts(config.nats)


def is_plain_http(url: Any) -> bool:
    """Return whether a URL is plain http to another machine."""
    try:
        parts = urlsplit(url) if isinstance(url, str) else urlsplit("")
        return parts.scheme == "http" and not is_loopback(parts.hostname or "localhost")
    except ValueError:
        return False


def warnings_of(config: Config) -> Iterator[str]:
    """Yield a warning for each setting that works but is risky, as `path: text`."""
    yield from _deprecated_keys(config)
    if is_plain_http(config.cc_backend.host):
        yield "cc-backend.host: http sends the token unencrypted"
    if config.drain.stop_hold_seconds < CC_COMMIT_SECONDS:
        yield (
            f"drain.stop_hold_seconds: set {CC_COMMIT_SECONDS} or more: with less, a stop can"
            " close the wrong job at cc-backend 1.5 and later"
        )
    after = config.sweep.close_unknown_after
    if after is not None and after < DAY_SECONDS:
        yield "sweep.close_unknown_after: set 86400 (a day) or more: accounting may be a day late"
    for name in ("clusters", "partitions", "accounts", "users", "qos"):
        names = getattr(config.filters, name)
        for both in sorted(names.allow & names.deny):
            yield (
                f"filters.{name}: {escape(both)} is in allow and in deny; it is excluded, because"
                " deny has precedence"
            )
    clusters = (config.clustername, *config.partition_clusters.values())
    if not any(_passes(config, name) for name in clusters):
        yield "filters.clusters: excludes every cluster, so no job will be reported"
    hosts = config.ignore_hosts
    if hosts is not None and hosts.search(""):
        yield "ignoreHosts: matches every host, so no job will be reported"
    yield from _accelerators(config)
    yield from nats_warnings(config.nats)


def _directory_conflicts(config: Config) -> Iterator[ConfigProblem]:
    spool, slurm_state = config.spool, config.slurm.state_save_location
    if spool.directory == spool.state_directory:
        yield ConfigProblem(
            path="spool.state_directory",
            problem="the same as spool.directory",
            hint="choose another one",
        )
    for key, path in (
        ("spool.directory", spool.directory),
        ("spool.state_directory", spool.state_directory),
    ):
        if slurm_state is not None and Path(slurm_state) in (path, *path.parents):
            hint = "only slurmctld may write there; choose another directory"
            yield ConfigProblem(path=key, problem="inside slurm.state_save_location", hint=hint)


def _deprecated_keys(config: Config) -> Iterator[str]:
    backend = config.cc_backend
    if backend.apikey is not None:
        used = "not used, because cc-backend.token_file is set; remove this key"
        better = "a token is safer in its own file; set cc-backend.token_file"
        yield f"cc-backend.apikey: {better if backend.token_file is None else used}"
    if config.node_regex is not None:
        yield "node_regex: has no effect; remove it"


def _passes(config: Config, cluster: str) -> bool:
    names = config.filters.clusters
    return cluster not in names.deny and (not names.allow or cluster in names.allow)


def _accelerators(config: Config) -> Iterator[str]:
    patterns = tuple(config.gpu_pci_addrs)
    for pattern in patterns:
        if not is_anchored(pattern):
            yield (
                f'gpuPciAddrs."{escape(pattern)}": also matches longer host names;'
                " write ^...$ for the whole name"
            )
    for first, second, name in overlaps(patterns):
        yield overlap_warning(first, second, name)
    for pattern, listed in config.gpu_pci_addrs.items():
        yield from _duplicate_addresses(f'gpuPciAddrs."{escape(pattern)}"', listed)
    for prefix, indexed in config.accelerators.items():
        yield from _duplicate_addresses(f"accelerators.{escape(prefix)}", tuple(indexed.values()))


def overlap_warning(first: str, second: str, name: str) -> str:
    """Return the warning that two patterns match the same host."""
    return (
        f'gpuPciAddrs."{escape(second)}": matches {escape(name)}, as does "{escape(first)}";'
        " the first one in the file is used"
    )


def _duplicate_addresses(place: str, addresses: tuple[str, ...]) -> Iterator[str]:
    for address, times in Counter(addresses).items():
        if times > 1:
            yield (
                f"{place}: {escape(address)} occurs {times} times; write one address for each"
                " device"
            )
