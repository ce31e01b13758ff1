"""The sections of the configuration about Slurm, cc-backend, NATS and the parts of this program."""

from __future__ import annotations

from pathlib import Path

from slurm.light_dataclass import light_dataclass
from spool.config.keys import DAY_SECONDS, key
from spool.config.metrics_readers import listen_address, textfile
from spool.config.nats_readers import broker_urls, nats_subject
from spool.config.readers import (
    absolute_path,
    base_url,
    boolean,
    choice,
    integer,
    number,
    optional,
    text,
    token,
    zero_or,
)
from spool.installation import SETTINGS, SPOOL, STATE

TOKEN_FILE = SETTINGS / "token"
LEVELS = ("debug", "info", "warning", "error")
FORMS = ("text", "json")


@light_dataclass
class SlurmKeys:
    """The keys of section `slurm`: paths of Slurm's commands and files."""

    squeue: Path = key(absolute_path, Path("/usr/bin/squeue"), about="path of Slurm's squeue")
    sacct: Path = key(absolute_path, Path("/usr/bin/sacct"), about="path of sacct")
    scontrol: Path = key(absolute_path, Path("/usr/bin/scontrol"), about="path of scontrol")
    sacctmgr: Path = key(absolute_path, Path("/usr/bin/sacctmgr"), about="path of sacctmgr")
    conf: Path | None = key(
        optional(absolute_path),
        None,
        about="path of slurm.conf for Slurm's commands (SLURM_CONF), if it is not in the usual"
        " place",
    )
    state_save_location: Path | None = key(
        optional(absolute_path),
        None,
        about="StateSaveLocation of slurmctld. If the service may read it, job scripts are read "
        "from there, without a process for each one. null: the value that `scontrol show config` "
        "prints. The spool must not be in it",
    )


@light_dataclass
class BackendKeys:
    """The keys of section `cc-backend`. `token_file` is None if only `apikey` is set."""

    host: str = key(base_url, about="URL of cc-backend: `https://HOST[:PORT]` without a path")
    token_file: Path | None = key(
        optional(absolute_path),
        TOKEN_FILE,
        about="file that contains only the JWT. It must not be a symbolic link, and other users "
        "must not be able to read it. A new token is used without a restart. A systemd credential "
        "named `token` has precedence",
    )
    apikey: str | None = key(
        optional(token),
        None,
        shown=False,
        about="the JWT itself, as in files of the script cc-slurm-sync; used if `token_file` is "
        "not set. Then other users must not be able to read the configuration",
    )
    ca_file: Path | None = key(
        optional(absolute_path),
        None,
        about="file of CA certificates (PEM) to verify cc-backend with. null: those of the system, "
        "as OpenSSL finds them (`SSL_CERT_FILE` and `SSL_CERT_DIR` are used, "
        "`REQUESTS_CA_BUNDLE` is not)",
    )
    proxy: str | None = key(
        optional(base_url),
        None,
        about="URL of a proxy for requests to cc-backend; proxies in the environment are not used",
    )


@light_dataclass
class SpoolKeys:
    """The keys of section `spool`: directories, and how much is kept."""

    directory: Path = key(
        absolute_path,
        SPOOL,
        about="the spool's directory, on a local disk; if you change it, change it in the two hook "
        "stubs too",
    )
    state_directory: Path = key(
        absolute_path,
        STATE,
        about="directory of locks, state and the archive of delivered runs, on a local disk",
    )
    min_free_bytes: int = key(
        integer(0, 2**50, "bytes"),
        2**30,
        about="with less free space than this, runs are stored without script and description",
    )
    keep_delivered_days: float = key(
        number(0, 3650, "days"),
        3,
        about="how long copies of delivered runs are kept (at most 1 GB), to deliver them again "
        "if cc-backend loses its database; 0: none are kept",
    )


@light_dataclass
class DrainKeys:
    """The keys of section `drain`: how runs are delivered. `requeue` is `replace` or `keep`."""

    stop_hold_seconds: float = key(
        number(0, DAY_SECONDS, "seconds"),
        180,
        about="how long a stop waits after cc-backend 1.5 or later has accepted the start. If this "
        "is shorter than cc-backend's commit interval (120 s), a stop can close the wrong job",
    )
    requeue: str = key(
        choice("replace", "keep"),
        "replace",
        about="what happens to a requeued job, since cc-backend rejects a second run of a job id "
        'within 24 hours: `"replace"` deletes the first run there, `"keep"` does not report the '
        "second run",
    )


@light_dataclass
class SweepKeys:
    """The keys of section `sweep`. `close_unknown_after` is seconds, None for never."""

    grace_seconds: float = key(
        number(0, DAY_SECONDS, "seconds"),
        600,
        about="a sweep does not report jobs that started less than this many seconds ago, because "
        "the hooks may still report them",
    )
    close_unknown_after: float | None = key(
        optional(number(60, 3650 * DAY_SECONDS, "seconds")),
        None,
        about="if cc-backend shows a job as running, and neither slurmctld nor accounting knows "
        "it, a sweep closes it after this many seconds; a day (86400) is sensible. null: it is "
        "only listed",
    )
    require_force: bool = key(
        boolean,
        default=False,
        about="whether stops that a safety check holds back wait for `cc-sweep apply --force"
        " --stops N`. If false, the next sweep sends those that it plans again",
    )


@light_dataclass
class NodesKeys:
    """The keys of section `nodes`: how often node states are reported; 0: never."""

    interval_seconds: int = key(
        zero_or(integer(60, 3600, "seconds")),
        300,
        about="how often the states of all nodes are reported to cc-backend 1.5 or later (60 to "
        "3600), see [nodes.md](nodes.md); 0: never",
    )


@light_dataclass
class NatsKeys:
    """The keys of section `nats`: the brokers, and what is published; not used without servers.

    `mode`: `transport` for a server that takes jobs by NATS alone, `notify` to announce to other
    programs what cc-backend accepted by REST.
    """

    servers: tuple[str, ...] = key(
        broker_urls,
        (),
        about="URL of a NATS broker, `nats://HOST[:PORT]` or `tls://...`, or a list of the URLs of "
        "its cluster. See [nats.md](nats.md); empty: no NATS",
    )
    mode: str = key(
        choice("transport", "notify"),
        "notify",
        about='`"transport"`: jobs are delivered by NATS instead of REST; `"notify"`: starts and '
        "stops that cc-backend has accepted by REST are also published",
    )
    subject: str | None = key(
        optional(nats_subject),
        None,
        about="subject to publish to: the value of `subject-job-event` in cc-backend's "
        "`main.api-subjects`",
    )
    user: str | None = key(optional(text), None, about="user name at the NATS broker")
    password_file: Path | None = key(
        optional(absolute_path),
        None,
        about="file that contains only that user's password; other users must not be able to "
        "read it",
    )
    creds_file: Path | None = key(
        optional(absolute_path),
        None,
        about="NATS creds file (user JWT and nkey seed), instead of user and password; other users "
        "must not be able to read it",
    )
    ca_file: Path | None = key(
        optional(absolute_path),
        None,
        about="file of CA certificates (PEM) to verify the broker with. null: those of the system",
    )
    cert_file: Path | None = key(
        optional(absolute_path),
        None,
        about="file with the client certificate (PEM), if the broker requires one",
    )
    key_file: Path | None = key(
        optional(absolute_path),
        None,
        about="file with the key of `cert_file`, if it is not in that file; other users must not "
        "be able to read it",
    )


@light_dataclass
class MetricsKeys:
    """The keys of section `metrics`: where Prometheus' metrics go; `listen` is host and port."""

    textfile: Path | None = key(
        optional(textfile),
        None,
        about="file for node_exporter's textfile collector, such as "
        "`/var/lib/prometheus/node-exporter/cc-slurm-sync.prom`, written by drain and sweep. See "
        "[monitoring.md](monitoring.md)",
    )
    listen: tuple[str, int] | None = key(
        optional(listen_address),
        None,
        about="port on which the drain serves the metrics over HTTP, reachable from this host "
        'only; `"HOST:PORT"` serves them on another address, without encryption or login. The '
        "metrics contain no names of users, jobs or hosts",
    )


@light_dataclass
class LogKeys:
    """The keys of section `log`: which messages are logged, and in which form."""

    level: str = key(
        choice(*LEVELS),
        "info",
        about='lowest level of the messages that are logged: `"debug"` shows each step of each '
        "job, but never a payload or a token; `--log-level` has precedence",
    )
    format: str = key(
        choice(*FORMS),
        "text",
        about='`"json"`: each message is one JSON object with time, level, message and, if it '
        "is about a job, keys such as job and start",
    )
