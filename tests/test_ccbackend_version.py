"""Versions of cc-backend and the dialect that follows from them."""

from __future__ import annotations

import pytest

from ccbackend.version import (
    Dialect,
    Version,
    dialect_of_404,
    server_info,
    version_of_login_page,
)


def test_versions_are_compared_by_number_and_printed_with_dots() -> None:
    """1.10.0 is newer than 1.9.9, and version 1.4.4 is printed as `1.4.4`."""
    assert Version(1, 10, 0) > Version(1, 9, 9)
    assert str(Version(1, 4, 4)) == "1.4.4"


@pytest.mark.parametrize(
    ("version", "dialect", "caches", "queues"),
    [
        (None, Dialect.SHARED, True, False),
        (Version(1, 0, 0), Dialect.EXCLUSIVE, False, False),
        (Version(1, 4, 1), Dialect.EXCLUSIVE, False, True),
        (Version(1, 4, 4), Dialect.EXCLUSIVE, False, False),
        (Version(1, 5, 0), Dialect.SHARED, True, False),
    ],
)
def test_dialect_cache_and_queue_of_starts_follow_from_the_version(
    version: Version | None,
    dialect: Dialect,
    *,
    caches: bool,
    queues: bool,
) -> None:
    """1.5.0 and an unknown version have `shared` and a cache; older ones have `exclusive`."""
    server = server_info(version)

    assert (server.dialect, server.caches_starts, server.queues_starts) == (
        dialect,
        caches,
        queues,
    )


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('<li class="build-list-item">Version 1.5.4</li>', Version(1, 5, 4)),
        ("<li>Version </li>", None),
        ("", None),
    ],
)
def test_the_login_page_names_the_version(text: str, version: Version | None) -> None:
    """The page of a build without version shows no version."""
    assert version_of_login_page(text) == version


@pytest.mark.parametrize(
    ("status", "text", "dialect"),
    [
        (404, '{"error":"the requested endpoint does not exist"}', Dialect.SHARED),
        (404, "404 page not found\n", Dialect.EXCLUSIVE),
        (404, "<html>", None),
        (200, "404 page not found", None),
    ],
)
def test_an_unknown_path_shows_the_dialect(status: int, text: str, dialect: Dialect | None) -> None:
    """1.5.0 and later answer JSON, older ones text; any other answer is from another program."""
    assert dialect_of_404(status, text) is dialect
