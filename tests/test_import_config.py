"""Import the configuration of another reporter; each old key is explained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spool.cli import main
from spool.config import load
from spool.exit_codes import CONFIG

TOKEN = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhIn0.c2ln"
ADAPTER: dict[str, Any] = {
    "pidFilePath": "/run/cc-slurm-adapter/daemon.pid",
    "prepSockListenPath": "unix:/run/daemon.sock",
    "slurmPollInterval": 60,
    "slurmMaxRetries": 10,
    "ccRestUrl": "https://cc.example.org/",
    "ccRestJwt": TOKEN,
    "gpuPciAddrs": {"^gpu0[0-9]$": ["00000000:03:00.0"]},
    "ignoreHosts": "^login",
    "natsPort": 4223,
    "natsServer": "nats.example.org",
    "natsUser": "",
    "natsPassword": "very secret",
    "natsNKeySeedFile": "",
}
PREDECESSOR: dict[str, Any] = {
    "clustername": "fritz",
    "slurm": {"squeue": "/opt/slurm/bin/squeue", "state_save_location": "/var/spool/state"},
    "cc-backend": {"host": "https://cc.example.org", "apikey": TOKEN},
    "accelerators": {"n2gpu": {"0": "00000000:03:00.0"}},
    "node_regex": "^n2",
}


def imported(
    tmp_path: Path, old: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the new configuration, and the note about each key."""
    (tmp_path / "old.json").write_text(json.dumps(old))
    assert main(["import-config", str(tmp_path / "old.json"), "--secrets", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    notes = dict(line.split(": ", 1) for line in printed.err.splitlines())
    return json.loads(printed.out), notes


def test_the_adapters_file_is_imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The keys of cc-slurm-adapter (URL, GPUs, ignored hosts, NATS) become keys of this program."""
    document, _ = imported(tmp_path, ADAPTER, capsys)

    assert document == {
        "cc-backend": {"host": "https://cc.example.org", "token_file": f"{tmp_path}/token"},
        "gpuPciAddrs": {"^gpu0[0-9]$": ["00000000:03:00.0"]},
        "ignoreHosts": "^login",
        "nats": {
            "mode": "notify",
            "servers": ["nats://nats.example.org:4223"],
            "subject": "jobs",
            "password_file": f"{tmp_path}/nats-password",
        },
    }


def test_each_key_of_the_adapter_has_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The note says copied, renamed, not needed or left out; missing keys have a note, too."""
    _, notes = imported(tmp_path, ADAPTER | {"frobnicate": 1}, capsys)

    assert notes.keys() >= ADAPTER.keys()
    assert notes["gpuPciAddrs"] == "copied"
    assert notes["ccRestUrl"] == "renamed to cc-backend.host"
    assert notes["slurmPollInterval"].startswith("not needed: ")
    assert notes["natsUser"] == notes["natsNKeySeedFile"] == "left out: it has no value"
    assert notes["frobnicate"].startswith("left out: ")
    assert notes["clustername"].startswith("missing; ")
    assert notes["next"].endswith("type `cc-spool configtest FILE`")


def test_the_predecessors_file_is_imported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The configuration of the former cron script is valid as imported, without changes."""
    document, notes = imported(tmp_path, PREDECESSOR, capsys)
    (tmp_path / "new.json").write_text(json.dumps(document))
    config = load(tmp_path / "new.json")

    assert (config.clustername, str(config.slurm.squeue)) == ("fritz", "/opt/slurm/bin/squeue")
    assert "node_regex" not in document
    assert notes["cc-backend.host"] == notes["slurm.squeue"] == notes["accelerators"] == "copied"


def test_secrets_go_to_files_and_never_to_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each secret has a file of its own, readable only by its owner."""
    document, notes = imported(tmp_path, ADAPTER, capsys)
    printed = json.dumps([document, notes])

    assert (tmp_path / "token").read_text() == f"{TOKEN}\n"
    assert (tmp_path / "nats-password").read_text() == "very secret\n"
    assert [0o600] * 2 == [
        (tmp_path / name).stat().st_mode & 0o777 for name in ("token", "nats-password")
    ]
    assert TOKEN not in printed
    assert "very secret" not in printed


def test_an_import_can_be_repeated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second import finds the secrets in their files and prints the same output."""
    first = imported(tmp_path, PREDECESSOR, capsys)

    assert first == imported(tmp_path, PREDECESSOR, capsys)


def test_a_file_with_another_secret_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The import fails; the error says to move the existing file away."""
    (tmp_path / "token").write_text("another\n")
    (tmp_path / "old.json").write_text(json.dumps(PREDECESSOR))

    code = main(["import-config", str(tmp_path / "old.json"), "--secrets", str(tmp_path)])

    assert code != 0
    assert "exists with other contents; move it away" in capsys.readouterr().err
    assert (tmp_path / "token").read_text() == "another\n"


def test_a_missing_directory_for_secrets_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error has the path of the secret's file, and no configuration is printed."""
    (tmp_path / "old.json").write_text(json.dumps(PREDECESSOR))

    code = main(["import-config", str(tmp_path / "old.json"), "--secrets", f"{tmp_path}/none"])
    printed = capsys.readouterr()

    assert (code != 0, printed.out) == (True, "")
    assert "none/token: cannot be written: No such file or directory" in printed.err


@pytest.mark.parametrize(
    ("key", "value", "note"),
    [
        ("natsNKeySeedFile", "/etc/seed", "not supported: create a creds file"),
        ("natsCredsFile", "/etc/creds", "not needed: natsServer is not set"),
        ("ccRestJwt", "", "left out: it has no value"),
        ("ccRestUrl", "https://cc.example.org/api/", "renamed to cc-backend.host"),
        ("ignoreHosts", "", "left out: it has no value"),
        ("ccRestUrl", None, "left out: it has no value"),
        ("ccRestJwt", None, "left out: it has no value"),
    ],
)
def test_the_note_says_what_happened_to_a_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, value: str | None, note: str
) -> None:
    """Empty keys are left out, natsNKeySeedFile is not supported, ccRestUrl is renamed."""
    _, notes = imported(tmp_path, {key: value}, capsys)

    assert notes[key].startswith(note)


def test_missing_required_keys_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The old file has no keys: the notes name `clustername` and `cc-backend.host`."""
    document, notes = imported(tmp_path, {}, capsys)

    assert document == {}
    assert {"clustername", "cc-backend.host", "next"} == notes.keys()


def test_a_broker_with_scheme_and_port_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The user and the creds file of this NATS broker are kept, too."""
    old = {
        "natsServer": "tls://nats.example.org:4333",
        "natsSubject": "cc.jobs",
        "natsUser": "slurm",
        "natsCredsFile": "/etc/nats.creds",
    }
    document, _ = imported(tmp_path, old, capsys)

    assert document["nats"] == {
        "mode": "notify",
        "servers": ["tls://nats.example.org:4333"],
        "subject": "cc.jobs",
        "user": "slurm",
        "creds_file": "/etc/nats.creds",
    }


def test_a_required_key_that_is_null_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A host that is null must not become the text None."""
    document, notes = imported(tmp_path, {"ccRestUrl": None, "clustername": None}, capsys)

    assert document == {}
    assert notes["cc-backend.host"].startswith("missing; ")
    assert notes["clustername"].startswith("missing; ")


@pytest.mark.parametrize(
    "server",
    ["nats://slurm:very%20secret@h1", "slurm:very%20secret@h1", "h1, tls://slurm:very%20secret@h2"],
)
def test_credentials_in_the_url_of_a_broker_are_removed_from_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], server: str
) -> None:
    """User and password go to the key `user` and to the password file, not to the terminal."""
    old = {"natsServer": server, "natsUser": "other", "natsPassword": "another secret"}
    document, notes = imported(tmp_path, old, capsys)

    assert "slurm" == document["nats"]["user"]
    assert "nats://h1:4222" == document["nats"]["servers"][0]
    assert (tmp_path / "nats-password").read_text() == "very secret\n"
    assert "secret" not in json.dumps([document, notes])
    assert notes["natsPassword"] == "not used: the credentials in natsServer take precedence"


def test_credentials_in_the_url_of_cc_backend_are_omitted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """This program has no key for a user and password of cc-backend."""
    old = {"ccRestUrl": "https://u:s3cr3t@cc.example.org/"}
    document, notes = imported(tmp_path, old, capsys)

    assert {"cc-backend": {"host": "https://cc.example.org"}} == document
    assert notes["ccRestUrl"].startswith("user and password in the URL are left out: ")


def test_a_token_in_the_url_of_a_broker_is_named_as_not_supported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The token is omitted from the configuration and not printed."""
    document, notes = imported(tmp_path, {"natsServer": "nats://s3cr3t@h"}, capsys)

    assert ["nats://h:4222"] == document["nats"]["servers"]
    assert notes["natsServer"].startswith("the token in the URL is not supported: ")
    assert "s3cr3t" not in json.dumps([document, notes])


def test_a_secret_that_is_not_utf_8_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """JSON can contain half of a surrogate pair, which UTF-8 cannot encode; the exit code is 78."""
    (tmp_path / "old.json").write_text(json.dumps({"ccRestJwt": "abc\ud800"}))

    code = main(["import-config", str(tmp_path / "old.json"), "--secrets", str(tmp_path)])
    printed = capsys.readouterr()

    assert (CONFIG, "") == (code, printed.out)
    assert "old.json: the value of ccRestJwt cannot be written as UTF-8: " in printed.err
    assert "correct this value" in printed.err


def test_configtest_accepts_a_valid_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`cc-spool configtest FILE` exits with 0 and prints that the configuration is valid."""
    path = tmp_path / "config.json"
    path.write_text(
        json.dumps({"clustername": "fritz", "cc-backend": {"host": "https://cc.example.org"}})
    )
    code = main(["configtest", str(path)])

    assert (code, capsys.readouterr().out) == (0, f"{path}: the configuration is valid\n")


def test_configtest_prints_warnings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`configtest` exits with 0; the drain logs the same warnings when it starts."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps(PREDECESSOR))
    path.chmod(0o600)

    assert main(["-c", str(path), "configtest"]) == 0
    assert "warning: node_regex" in capsys.readouterr().out


def test_invalid_keys_exit_with_78(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All errors are reported together on stderr; stdout is empty."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"clustername": 5}))
    code = main(["configtest", str(path)])
    printed = capsys.readouterr()

    assert (code, printed.out) == (78, "")
    assert "clustername" in printed.err
    assert "cc-backend" in printed.err
