"""The messages of a job by NATS: InfluxDB lines with the JSON of the REST API in one field.

Source: cc-backend v1.5.4, internal/api/nats.go; recorded in `nats-mode`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ccbackend.outcomes import ApiCall

PROBE = b"\n"
"""A message without a line: cc-backend reads and drops it, and logs nothing."""

_FUNCTIONS = {ApiCall.START: "start_job", ApiCall.STOP: "stop_job"}


def event_line(call: ApiCall, document: Mapping[str, Any], time_ns: int) -> bytes:
    """Return the message of a start or stop.

    Args:
        call: a start or a stop.
        document: the body of the REST call.
        time_ns: of the message, Unix nanoseconds; must not be 0, which drops the message.
    """
    # A string field of a line: backslashes and quotes are escaped, JSON has no line breaks.
    event = json.dumps(document).replace("\\", "\\\\").replace('"', '\\"')
    return f'job,function={_FUNCTIONS[call]} event="{event}" {time_ns}'.encode()
