"""Export and import of a run as one file, `report.json`.

An imported file is untrusted, because it can come from another person. It is checked completely before any of it is
stored: strict JSON, the schema of the report, the histograms, the records, and whether report and records agree.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import ValidationError

from coreserver.errors import RecordsIncomplete, ReportTooNew
from coreserver.models import MODELS
from coreserver.records.codec import Bounds, decode_connections, stored_format
from coreserver.records.record_format import FORMAT
from coreserver.reports.import_check import check_records, disagreements, miscounted_histograms
from coreserver.reports.schema.report import Bundle, Report, ReportFile
from coreserver.reports.schema.upgrades import upgrade
from webapp.parsing import MAX_ERRORS, field_errors, parse_json
from webapp.problems import FieldError, Invalid
from webapp.storage.run_files import Imported, Records

# The largest run that the lab accepts is within these bounds. A deflated file of a few kilobytes can exceed them.
BOUNDS = Bounds(inflated_bytes=256 * 2**20, line_bytes=32 * 2**20, connections=500_000)
_PIECE_BYTES = 3 * 2**14  # a multiple of three becomes base64 without padding


# --- out -------------------------------------------------------------------------------------------------------------


def write_report(report: Report, records: Records | None) -> Iterator[bytes]:
    """Yield the file in pieces, so that other threads run while it is encoded."""
    separator = b"{"
    for name in Report.model_fields:
        part = report.model_dump(mode="json", include={name})[name]
        yield separator + f'"{name}":'.encode() + json.dumps(part, separators=(",", ":"), allow_nan=False).encode()
        separator = b",\n"
    if records is not None:
        head = {
            "format": records.format,
            "encoding": "base64",
            "started_ns": records.started_ns,
            "started_wall_s": records.started_wall_s,
        }
        yield b',\n"bundle":' + json.dumps(head, separators=(",", ":"))[:-1].encode() + b',"connections":"'
        for start in range(0, len(records.connections), _PIECE_BYTES):
            yield base64.b64encode(records.connections[start : start + _PIECE_BYTES])
        yield b'"}'
    yield b"}\n"


# --- in --------------------------------------------------------------------------------------------------------------


def read_report(body: bytes) -> Imported:
    """Return the content of a file, upgraded to the current version.

    Raises:
        Invalid: it is not a valid report, or a newer program wrote it; the errors name the fields.
    """
    document = parse_json(body)
    if not isinstance(document, dict):
        raise _invalid([FieldError("body", "must be an object: the report.json of a run")])
    try:
        document = upgrade(document)
    except ReportTooNew as error:
        raise _invalid([FieldError("schema_version", str(error))]) from None
    bundle = document.get("bundle")
    if isinstance(bundle, dict):
        _refuse_newer_records(bundle.get("format"))
    try:
        found = ReportFile.model_validate(document)
    except ValidationError as error:
        raise _invalid(field_errors(error.errors(include_url=False, include_input=False), document)) from None
    report = Report.model_construct(**{name: getattr(found, name) for name in Report.model_fields})
    _check_histograms(report)
    records = None if found.bundle is None else _records(found.bundle, report)
    return Imported(report, _config(report), records)


def _refuse_newer_records(found: object) -> None:
    if type(found) is int and found > FORMAT:
        message = (
            f"the records were written by a newer Serverlab in format {found}; this program reads formats up to "
            f"{FORMAT}: install a newer Serverlab to open the file"
        )
        raise _invalid([FieldError("bundle.format", message)])


def _check_histograms(report: Report) -> None:
    try:
        wrong = list(miscounted_histograms(report))
    except RecordsIncomplete as error:
        field, _, message = str(error).partition(": ")
        raise _invalid([FieldError(field, message)]) from None
    if wrong:
        raise _invalid([FieldError(field, "must have as many values as `latency` counts") for field in wrong])


def _records(bundle: Bundle, report: Report) -> Records:
    """Return the records of the bundle, after a check that they are valid and agree with the report."""
    try:
        data = base64.b64decode(bundle.connections, validate=True)
        connections = decode_connections(data, BOUNDS)
        check_records(connections, bundle.started_ns)
    except (binascii.Error, RecordsIncomplete) as error:
        raise _invalid([FieldError("bundle.connections", str(error))]) from None
    wrong = list(disagreements(report, connections))
    if wrong:
        raise _invalid([FieldError(field, "does not agree with bundle.connections") for field in wrong])
    return Records(stored_format(data), bundle.started_ns, bundle.started_wall_s, data)


def _config(report: Report) -> dict[str, Any]:
    """Return the body that repeats the run in this lab, as far as possible.

    The id of a server is valid only in the lab that wrote the file. It is replaced by the settings of that server, with
    a free port.
    """
    config = report.run.config.model_dump(mode="json")
    if "id" in config["server"] and report.server.model in MODELS:
        return {**config, "server": {**report.server.config, "port": 0}}
    return config


def _invalid(errors: Sequence[FieldError]) -> Invalid:
    first = errors[0]
    more = "" if len(errors) == 1 else f" (and {len(errors) - 1} more)"
    return Invalid(f"the file cannot be imported: {first.field}: {first.message}{more}", errors=errors[:MAX_ERRORS])
