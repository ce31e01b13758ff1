"""Watch token and configuration while the drain runs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from spool.config import Config, file_stamp, load_checked
from spool.errors import ConfigError
from spool.identity import MaskedToken, credentials_directory

_log = logging.getLogger(__name__)


class ConfigWatcher:
    """The watcher of token and configuration; `new_config` is a reloaded configuration.

    There is one for the life of the process, so that no change and no request to reload is lost
    while a new configuration is put to use.

    The drain calls it at every pass: after a change, the cause of halted deliveries may be
    repaired. The token file's change is noticed even if it cannot be read.
    """

    def __init__(self, config: Config, token: MaskedToken) -> None:
        self.token = token
        self.new_config: Config | None = None
        self.on_new_config: Callable[[], None] = lambda: None
        self._config = config
        self._file_stamp = config.stamp
        self._token_stamp = token.fingerprint()
        self._reload_requested = False

    @property
    def files(self) -> tuple[Path, ...]:
        """Return the paths of the configuration file and, if there is one, of the token file."""
        return tuple(path for path in (self._config.path, self.token.path) if path is not None)

    def request_reload(self) -> None:
        """Make the next call reload the configuration; safe in a signal handler."""
        self._reload_requested = True

    def use_new_config(self, config: Config) -> MaskedToken:
        """Watch a changed configuration from now on; return its token."""
        self._config, self.new_config = config, None
        self.token = token_for(config, self.token)
        return self.token

    def __call__(self) -> bool:
        """Reload a changed configuration; return whether it or the token has changed."""
        stamp = file_stamp(self._config.path)
        requested, self._reload_requested = self._reload_requested, False
        if stamp != self._file_stamp or requested:
            self._file_stamp = stamp
            self._reload()
            return True
        before, self._token_stamp = self._token_stamp, self.token.fingerprint()
        return before != self._token_stamp

    def _reload(self) -> None:
        try:
            found = load_checked(self._config.path, credentials=credentials_directory())
        except ConfigError as error:
            for problem in error.problems:
                _log.error(
                    "the changed configuration has an error; the previous one stays in use: %s",
                    problem,
                )
            return
        if _directories(found) != _directories(self._config):
            _log.error(
                "spool.directory or spool.state_directory was changed: type `systemctl"
                " restart cc-spool`"
            )
            return
        _log.info("the configuration was reloaded")
        self.new_config = found
        self.on_new_config()


def token_for(config: Config, token: MaskedToken) -> MaskedToken:
    """Return the token of a new configuration: the current one if it is in the same file."""
    new = MaskedToken(config)
    return token if new.path is not None and new.path == token.path else new


def _directories(config: Config) -> tuple[Path, Path]:
    """Return the spool and the state directory, which must not change while the drain runs."""
    return config.spool.directory, config.spool.state_directory
