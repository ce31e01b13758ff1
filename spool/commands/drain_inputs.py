"""Make a drain's settings, composer, and clients of Slurm and cc-backend from the configuration."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from ccbackend.client import BackendClient
from ccbackend.version import SharedServerInfo
from ccbackend.wire.transport import ExchangeLimits
from slurm.client import Slurm
from slurm.process import ProcessRunner
from spool.commands.config_watcher import ConfigWatcher
from spool.config import Config
from spool.config.backend_settings import job_filters, metadata_policy, site_maps
from spool.connections import (
    EDIT_LIMITS,
    NODE_STATES_LIMITS,
    backend_client,
    job_clients,
    node_reporter,
    slurm_client,
)
from spool.deliver.compose import PayloadComposer
from spool.drain.event_watch import EventWatch
from spool.drain.externals import DrainSettings, Externals
from spool.identity import MaskedToken
from spool.resolve.final_description import FinalDescriptions
from spool.resolve.job_texts import COMMAND_SECONDS, JobTexts, TextSettings


def drain_settings(config: Config) -> DrainSettings:
    """Return the settings of the drain."""
    return DrainSettings(
        state=config.spool.state_directory,
        hold_seconds=config.drain.stop_hold_seconds,
        replace_earlier=config.drain.requeue == "replace",
        keep_days=config.spool.keep_delivered_days,
        min_free_bytes=config.spool.min_free_bytes,
        wants_texts=config.metadata.job_script or config.metadata.slurm_info,
        nodes_interval_seconds=config.nodes.interval_seconds,
    )


def composer(config: Config) -> PayloadComposer:
    """Return the composer of the requests to cc-backend."""
    return PayloadComposer(site_maps(config), metadata_policy(config), job_filters(config))


class DrainClients:
    """The clients of Slurm and cc-backend, one for each worker that asks for one."""

    def __init__(self, config: Config, runner: ProcessRunner, token: MaskedToken) -> None:
        self._config = config
        self._runner = runner
        self._slurms: list[Slurm] = []
        self._token = token
        self._shared = SharedServerInfo()
        self._stack = ExitStack()
        self._new_backend: Callable[[], BackendClient] = job_clients(
            config, token, self._shared, self._stack
        )

    def externals(
        self,
        watcher: ConfigWatcher,
        warnings: Callable[[], tuple[str, ...]],
        *,
        with_nodes: bool,
    ) -> Externals:
        """Return what the drain uses outside itself: Slurm, cc-backend and the watched files.

        `warnings` returns those about publishing metrics; `check` shows them with Slurm's.
        """
        config, nodes = self._config, None
        if with_nodes and config.nodes.interval_seconds:
            backend = self._new_rest_client(NODE_STATES_LIMITS)
            nodes = node_reporter(config, self._runner, backend).run
        texts = TextSettings(
            with_script=config.metadata.job_script,
            with_description=config.metadata.slurm_info,
            state_save_location=config.slurm.state_save_location,
            script_limit_bytes=config.metadata.job_script_bytes,
        )
        slurm = slurm_client(config, self._runner, timeout_seconds=COMMAND_SECONDS)
        return Externals(
            slurm=self._new_slurm,
            warnings=lambda: (*self._warnings(), *warnings()),
            slurm_release=self._slurm_release,
            backend=self._new_backend,
            texts=JobTexts(slurm, texts).ask,
            final_texts=FinalDescriptions(self._new_slurm()).ask,
            inputs_changed=watcher,
            new_watch=partial(EventWatch, inputs=watcher.files),
            editor=lambda: self._new_rest_client(EDIT_LIMITS),
            nodes=nodes,
        )

    def close(self) -> None:
        """Close the connections to cc-backend and NATS."""
        self._stack.close()

    def _new_slurm(self) -> Slurm:
        self._slurms.append(slurm_client(self._config, self._runner))
        return self._slurms[-1]

    def _new_rest_client(self, limits: ExchangeLimits) -> BackendClient:
        backend = backend_client(self._config, self._token, self._shared, limits=limits)
        self._stack.callback(backend.close)
        return backend

    def _warnings(self) -> tuple[str, ...]:
        """Return the warnings about answers of Slurm that were accepted, each line once."""
        return tuple(dict.fromkeys(line for each in self._slurms for line in each.warnings()))

    def _slurm_release(self) -> str | None:
        """Return Slurm's release; None until one of the clients has read it."""
        return next((str(each.known_release) for each in self._slurms if each.known_release), None)
