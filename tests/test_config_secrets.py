"""No message shows the token, and other users may not read or change its file."""

from __future__ import annotations

from pathlib import Path

import pytest
from config_text import SMALL, TOKEN, loaded, refusals, written

from spool.config import load
from spool.errors import ConfigError


def test_a_token_readable_by_others_is_refused(tmp_path: Path) -> None:
    """cc-backend.apikey in a file of mode 644 is refused, even if `token_file` is set, too."""
    section = {"host": "https://h", "apikey": TOKEN, "token_file": "/etc/t"}
    path = written(tmp_path, SMALL | {"cc-backend": section}, mode=0o644)

    assert "other users can read this file" in refusals(path)["cc-backend.apikey"]


def test_a_file_without_token_may_be_readable(tmp_path: Path) -> None:
    """With `apikey` null, other users may read the configuration file."""
    section = {"host": "https://h", "apikey": None}

    assert load(written(tmp_path, SMALL | {"cc-backend": section}, mode=0o644)).warnings == ()


def test_a_configuration_that_others_can_change_is_refused(tmp_path: Path) -> None:
    """A user who can change the file can send the token to another server."""
    assert "chmod o-w" in refusals(written(tmp_path, SMALL, mode=0o646))["the file"]


@pytest.mark.parametrize(
    "contents",
    [
        {"clustername": 1, "cc-backend": {"host": "https://h", "apikey": TOKEN}},
        {"clustername": "a", "cc-backend": {"host": TOKEN, "apikey": f"{TOKEN} x"}},
        {"clustername": "a", "cc-backend": {"host": f"https://u:{TOKEN}@h", "token_file": TOKEN}},
        {"clustername": "a", "cc-backend": TOKEN},
        {"clustername": "a", "cc-backend": {"host": "https://h", "apikey": [TOKEN]}},
        f'{{"cc-backend": {{"apikey": "{TOKEN}" "x"}}}}',
    ],
)
def test_no_message_shows_the_token(tmp_path: Path, contents: object) -> None:
    """No text repeats the token, even if it is the value of a wrong key."""
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, contents, mode=0o644))

    assert TOKEN not in str(caught.value)
    assert TOKEN not in repr(caught.value.problems)


def test_no_repr_shows_the_token(tmp_path: Path) -> None:
    """A configuration that is printed in a traceback or a log does not contain the token."""
    config = loaded(tmp_path, cc_backend={"host": "https://h", "apikey": TOKEN})

    assert TOKEN not in f"{config} {config!r} {config.warnings}"
