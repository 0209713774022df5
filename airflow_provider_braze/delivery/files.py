"""Audiences in files: CSV, JSON Lines and Parquet, on a disk or in an object storage.

A file is read as a stream, however long it is: a CSV or JSON Lines file line by line, a Parquet file a few thousand
rows at a time. No error quotes what is in the file, only where it is.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote

from airflow_provider_braze.api.errors import mask
from airflow_provider_braze.delivery.audience import Audience
from airflow_provider_braze.delivery.columns import ColumnReader, Columns, ObjectReader
from airflow_provider_braze.delivery.entries import is_output, refuse_emptied
from airflow_provider_braze.delivery.errors import BrazeAudienceError

_SUFFIXES: Mapping[str, str] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
_BUFFER = 1 << 20
_ROWS = 2000
_GZIP = b"\x1f\x8b"
# A user with a password in a URL, up to the last @, as the password may hold one. A user alone is a connection's id.
_LOGIN = re.compile(r"(?<=://)[^/:@]*:.*@")


@dataclass
class FileAudience(Audience):
    """People whom a file lists, read as a stream.

    Columns become fields by their names as a query's do, see :mod:`airflow_provider_braze.delivery.columns`.

    - CSV needs a header line. All values are texts; an empty cell is left out.
    - JSON Lines has one object per line, each with keys of its own: flat, with the names that columns have, or nested
      as Braze's recipients are. A null is left out.
    - Parquet needs the extra ``parquet`` of this package. Structs and maps that are called ``attributes``,
      ``trigger_properties``, ``context`` or ``user_alias`` are taken for what they are called.

    CSV and JSON Lines may be compressed by gzip. It is one file: a folder of part files, as Spark writes them, is not
    put together.

    :param path: a local path, or a URL such as ``s3://aws_default@bucket/people.parquet``, which Airflow's
        ``ObjectStoragePath`` reads; such a path itself; or the output of an upstream task, which gives one. (templated)
    :param format: ``csv``, ``jsonl`` or ``parquet``, where the path does not end in it.
    :param columns: other names for columns, or for an object's outermost keys, as ``{"customer_id":
        "external_user_id"}``; ``{"notes": None}`` leaves one out.
    :param conn_id: Airflow connection of the storage, where the URL names none. (templated)
    :param delimiter: what divides the cells of a CSV file.
    :param encoding: of a CSV or JSON Lines file.
    """

    path: Any
    format: str | None = None
    columns: Columns | None = None
    conn_id: str | None = None
    delimiter: str = ","
    encoding: str = "utf-8"

    template_fields: ClassVar[Sequence[str]] = ("path", "conn_id")

    def __post_init__(self) -> None:
        if not is_output(self.path):
            # As a text it can be rendered, and keeps its connection when Airflow copies the task.
            self.path = str(self.path)
        self._given = {name: getattr(self, name) for name in self.template_fields}

    def __repr__(self) -> str:
        # Airflow stores it with the DAG.
        shown = {field.name: getattr(self, field.name) for field in fields(self)} | {"path": self._shown}
        listed = ", ".join(f"{name}={value!r}" for name, value in shown.items())
        return f"{type(self).__name__}({listed})"

    @property
    def _shown(self) -> str:
        """The path as errors and logs may have it: a password that its URL holds is nobody's business."""
        return _LOGIN.sub("***@", str(self.path))

    def _said(self, error: Exception) -> str:
        """What an error says, which may quote the URL or its password."""
        login = _LOGIN.search(self.path)
        password = login[0][:-1].partition(":")[2] if login else ""
        # Where the password holds one of these, others divide the URL in the middle of it.
        pieces = re.split("[/@?#]", password)
        return mask(str(error), login[0] if login else "", password, unquote(password), *pieces)

    def recipients(self, values_field: str | None = None) -> Iterator[dict[str, Any]]:
        """Read the file and yield one recipient per row."""
        refuse_emptied("The file", self._given, vars(self))
        if isinstance(self.path, Collection) and not isinstance(self.path, str):
            raise BrazeAudienceError(
                f"The path of the file is of type {type(self.path).__name__}, nothing was sent: it is that of one file."
            )
        # An upstream task may give a path that is no text.
        self.path = str(self.path)
        read = {"csv": self._read_csv, "jsonl": self._read_json_lines, "parquet": self._read_parquet}[self._kind()]
        with self._open() as stream:
            try:
                yield from read(stream, values_field)
                return
            except BrazeAudienceError:
                raise
            except Exception as error:
                problem = _problem(error, self._said(error))
        # Not while the other error is being handled: it may hold a piece of the file.
        raise BrazeAudienceError(f"{self._shown} {problem}, nothing was sent.")

    def _kind(self) -> str:
        kind = self.format or _SUFFIXES.get(Path(self.path.lower().removesuffix(".gz")).suffix, "")
        if kind not in _SUFFIXES.values():
            raise BrazeAudienceError(
                f"The format of {self._shown} is not clear, nothing was sent: let its name end in "
                f"{', '.join(_SUFFIXES)} (the first three may be followed by .gz), or say format='csv', 'jsonl' or "
                "'parquet'."
            )
        return kind

    @contextlib.contextmanager
    def _open(self) -> Iterator[io.BufferedReader]:
        try:
            raw = self._open_raw()
        except Exception as error:
            problem = _opening_problem(error, self._said(error))
        else:
            with contextlib.closing(raw):
                yield io.BufferedReader(raw, _BUFFER)
            return
        raise BrazeAudienceError(f"{self._shown} {problem}, nothing was sent.")

    def _open_raw(self) -> Any:
        if "://" not in self.path:
            return Path(self.path).open("rb", buffering=0)
        from airflow.sdk import ObjectStoragePath

        options = {"conn_id": self.conn_id} if self.conn_id else {}
        path: Any = ObjectStoragePath(self.path, **options)
        return path.open("rb")

    def _read_csv(self, stream: io.BufferedReader, values_field: str | None) -> Iterator[dict[str, Any]]:
        lines = _Lines(self._shown, stream, self.encoding)
        rows = self._rows(lines)
        header = [name.strip() for name in next(filter(None, rows), [])]
        if not header:
            raise BrazeAudienceError(f"{self._shown} is empty, nothing was sent: a CSV file begins with a header line.")
        if "" in header:
            raise BrazeAudienceError(
                f"Column {header.index('') + 1} of {self._shown} has no name in the header, nothing was sent."
            )
        # Without a header line the first one is somebody's.
        reader = self._column_reader(header, values_field)
        for row in rows:
            if len(row) == len(header):
                yield reader.recipient([cell or None for cell in row])
            elif row:
                raise BrazeAudienceError(
                    f"Line {lines.number:,} of {self._shown} has {len(row)} cells and the header {len(header)}, "
                    "nothing was sent. Which is which is not clear, so max_invalid leaves no such line out: correct "
                    "the file, or say how it is divided by delimiter=."
                )

    def _column_reader(self, header: list[str], values_field: str | None) -> ColumnReader:
        try:
            return ColumnReader(header, self.columns, values_field, confidential=True)
        except BrazeAudienceError as error:
            if len(header) > 1:
                raise
            raise BrazeAudienceError(f"{error} Is delimiter={self.delimiter!r} right?") from None

    def _rows(self, lines: _Lines) -> Iterator[list[str]]:
        if len(self.delimiter) != 1:
            raise BrazeAudienceError("delimiter must be a single character, nothing was sent.")
        try:
            yield from csv.reader(lines, delimiter=self.delimiter, strict=True)
        except csv.Error as error:
            raise BrazeAudienceError(
                f"Line {lines.number:,} of {self._shown} cannot be read as CSV ({error}), nothing was sent."
            ) from None

    def _read_json_lines(self, stream: io.BufferedReader, values_field: str | None) -> Iterator[dict[str, Any]]:
        lines = _Lines(self._shown, stream, self.encoding)
        reader = ObjectReader(self.columns, values_field)
        for line in lines:
            if line.isspace():
                continue
            entry = _parsed(line)
            if not isinstance(entry, dict):
                raise BrazeAudienceError(f"Line {lines.number:,} of {self._shown} is no JSON object, nothing was sent.")
            try:
                recipient = reader.recipient(entry)
            except BrazeAudienceError as error:
                raise BrazeAudienceError(f"Line {lines.number:,} of {self._shown}: {error}") from None
            yield recipient
        if lines.number:
            reader.check_columns()

    def _read_parquet(self, stream: io.BufferedReader, values_field: str | None) -> Iterator[dict[str, Any]]:
        try:
            from pyarrow import parquet, types  # type: ignore[import-untyped]
        except ImportError:
            raise BrazeAudienceError(
                "A Parquet file needs pyarrow, nothing was sent: pip install airflow-provider-braze-messaging[parquet]"
            ) from None
        # A buffer of its own lets it read a column in pieces; without one it loads the column for a whole row group,
        # and a file may have a single one.
        options = {"buffer_size": _BUFFER, "pre_buffer": False, "coerce_int96_timestamp_unit": "us"}
        with parquet.ParquetFile(stream, **options) as file:
            schema = file.schema_arrow
            objects = {column.name for column in schema if types.is_struct(column.type) or types.is_map(column.type)}
            reader = ColumnReader(schema.names, self.columns, values_field, objects=objects)
            takes = [_taker(column.name, column.type) for column in schema]
            for batch in file.iter_batches(_ROWS, use_threads=False):
                columns = [take(column) for take, column in zip(takes, batch.columns, strict=True)]
                yield from map(reader.recipient, zip(*columns, strict=True))


class _Lines:
    """The lines of a text file; it knows where it stands.

    :param path: how errors call the file.
    :param stream: its bytes, maybe compressed by gzip.
    :param encoding: of the text.
    """

    def __init__(self, path: str, stream: io.BufferedReader, encoding: str) -> None:
        try:
            # Excel and others begin UTF-8 with a byte-order mark, which would become a piece of the first name.
            self._encoding = "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding
        except LookupError:
            raise BrazeAudienceError(f"There is no encoding {encoding!r}, nothing was sent.") from None
        self._path = path
        self._stream: Any = gzip.GzipFile(fileobj=stream) if stream.peek(2)[:2] == _GZIP else stream
        self._text = io.TextIOWrapper(self._stream, self._encoding, newline="")
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        try:
            for line in self._text:
                self.number += 1
                yield line
            return
        except UnicodeDecodeError as error:
            line_number = self.number + 1 + error.object.count(b"\n", 0, error.start)
            offset = self._stream.tell() - len(error.object) + error.start
        # Not while the other error is being handled: it holds a piece of the file.
        name = self._encoding.removesuffix("-sig")
        raise BrazeAudienceError(
            f"Line {line_number:,} of {self._path} (byte {offset:,}) is no {name}, nothing was sent: say what it is "
            "written in, such as encoding='cp1252'."
        )


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _taker(name: str, kind: Any) -> Callable[[Any], list[Any]]:
    """Give what makes Python's values of a column."""
    wanted, dicts = _without_nanoseconds(kind), _dict_maker(kind)

    def take(column: Any) -> list[Any]:
        try:
            values: list[Any] = (column if wanted == kind else column.cast(wanted, safe=False)).to_pylist()
        except (ValueError, OverflowError):
            problem = f"Column {name} holds a {kind} that Python cannot express, nothing was sent."
        else:
            return [dicts(value) for value in values] if dicts else values
        raise BrazeAudienceError(problem)

    return take


def _without_nanoseconds(kind: Any) -> Any:
    """Python's times have microseconds, those of pandas nanoseconds."""
    import pyarrow as pa
    from pyarrow import types

    if getattr(kind, "unit", "") == "ns":
        make: dict[str, Any] = {"timestamp": lambda unit: pa.timestamp(unit, kind.tz), "time64": pa.time64}
        return next((make[name] for name in make if str(kind).startswith(name)), pa.duration)("us")
    if types.is_struct(kind):
        return pa.struct([field.with_type(_without_nanoseconds(field.type)) for field in kind])
    if types.is_map(kind):
        return pa.map_(kind.key_type, _without_nanoseconds(kind.item_type))
    if types.is_list(kind):
        return pa.list_(_without_nanoseconds(kind.value_type))
    if types.is_large_list(kind):
        return pa.large_list(_without_nanoseconds(kind.value_type))
    return kind


def _dict_maker(kind: Any) -> Callable[[Any], Any] | None:
    """Give what turns the maps in a value into dicts; they come as lists of pairs. None where there are none."""
    from pyarrow import types

    if types.is_map(kind):
        inner = _dict_maker(kind.item_type) or _same
        return lambda pairs: None if pairs is None else {key: inner(value) for key, value in pairs}
    if types.is_struct(kind):
        fields = {field.name: maker for field in kind if (maker := _dict_maker(field.type))}
        if fields:
            return lambda value: value and {name: fields.get(name, _same)(value[name]) for name in value}
    if types.is_list(kind) or types.is_large_list(kind):
        item = _dict_maker(kind.value_type)
        if item:
            return lambda values: values and [item(value) for value in values]
    return None


def _same(value: Any) -> Any:
    return value


def _problem(error: Exception, text: str) -> str:
    """Say what is wrong with a file that is being read, in words that hold nothing of it.

    :param text: what the error says, masked.
    """
    if isinstance(error, EOFError | zlib.error | gzip.BadGzipFile):
        return "is cut off or damaged: its gzip data cannot be unpacked"
    if type(error).__module__.startswith("pyarrow"):
        return "is no Parquet file, or cut off or damaged"
    said = f": {text}" if isinstance(error, OSError) else ""
    return f"cannot be read ({type(error).__name__}{said})"


def _opening_problem(error: Exception, text: str) -> str:
    if isinstance(error, FileNotFoundError):
        return "does not exist"
    if isinstance(error, IsADirectoryError):
        return "is a folder and no file: its part files are not put together, give a single one"
    said = f"cannot be opened ({type(error).__name__}: {text})"
    if isinstance(error, ImportError | ValueError):
        said += " here; a storage needs its provider, such as apache-airflow-providers-amazon[s3fs] for s3"
    return said
