"""The files of an import: rows read as a stream, rows that were refused, and how far it came."""

import csv
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import orjson

from app.domain.errors import InvalidRequest
from app.services.import_rows import Broken, Fault, Header, Wanted, header, parse

LINE_CHARS_MAX: Final = 65_536
"""Far more than all cells together may hold."""
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet read a cell as a formula."""


class Rows:
    """The rows of a CSV file, parsed one by one; the first names the columns.

    Row numbers are those a spreadsheet shows: the first row is 1. `bytes_read` runs a little ahead.
    """

    def __init__(self, path: Path) -> None:
        # What is not UTF-8 comes through as lone surrogates, and is told row by row.
        self._file = path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")
        self._too_long = False
        self._records = csv.reader(self._lines(), strict=True)
        self.number = 1
        try:
            self.header: Header = header(next(self._records, []))
        except csv.Error as error:
            raise InvalidRequest(f"The first row is not CSV: {error}.") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    @property
    def bytes_read(self) -> int:
        """How far into the file reading has come."""
        return os.lseek(self._file.fileno(), 0, os.SEEK_CUR)

    def __iter__(self) -> Iterator[Wanted | Broken]:
        while True:
            self._too_long = False
            try:
                cells = next(self._records)
            except StopIteration:
                return
            except csv.Error as error:
                self.number += 1
                yield self._broken("not_csv", f"The row cannot be read: {error}.")
                continue
            self.number += 1
            if self._too_long:
                said = f"The row has more than {LINE_CHARS_MAX} characters in a line."
                yield self._broken("line_too_long", said)
            elif cells:  # an empty line is not a row
                yield parse(self.header, self.number, cells)

    def _broken(self, code: str, message: str) -> Broken:
        return Broken(self.number, [Fault("", code, message)])

    def _lines(self) -> Iterator[str]:
        """Lines of bounded length: of a longer one the rest is passed over."""
        while line := self._file.readline(LINE_CHARS_MAX):
            if len(line) == LINE_CHARS_MAX and not line.endswith("\n"):
                self._too_long = True
                while (rest := self._file.readline(LINE_CHARS_MAX)) and not rest.endswith("\n"):
                    pass
                line = "too long\n"
            yield line


class Refusals:
    """`FILE.import-errors.csv`: one line for each fault; there is no file without one."""

    def __init__(self, path: Path, keep_bytes: int = 0) -> None:
        self.path = path
        self.count = 0
        self._file: IO[str] | None = None
        if keep_bytes and path.exists():
            os.truncate(path, keep_bytes)
            self._file = path.open("a", encoding="utf-8", newline="")
        else:
            path.unlink(missing_ok=True)

    def write(self, broken: Sequence[Broken]) -> int:
        """Write down what is wrong with these rows; returns the file's size, all on disk."""
        if broken and self._file is None:
            self._file = self.path.open("w", encoding="utf-8", newline="")
            csv.writer(self._file).writerow(("row", "column", "code", "message"))
        if self._file is None:
            return 0
        lines = csv.writer(self._file)
        for row in broken:
            for fault in row.faults:
                cells = (fault.column, fault.code, fault.message)
                lines.writerow((row.number, *map(harmless, cells)))
        self.count += len(broken)
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """No more is written."""
        if self._file is not None:
            self._file.close()


def harmless(cell: str) -> str:
    """`cell` so that no spreadsheet takes it for a formula."""
    printable = cell.encode("utf-8", "backslashreplace").decode()
    return f"'{printable}" if printable.startswith(FORMULA) else printable


@dataclass(frozen=True, slots=True)
class Mark:
    """How far an import has come: what `--resume` goes on from."""

    fingerprint: str
    rows: int = 0
    """Rows that are settled, the first row not counted."""
    imported: int = 0
    existing: int = 0
    refused: int = 0
    refusals_bytes: int = 0


def fingerprint(path: Path, *facts: str) -> str:
    """What tells this import from any other: the file's bytes, and where they go."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update("\n".join(facts).encode())
    return digest.hexdigest()


def read_mark(path: Path) -> Mark | None:
    """The mark that an earlier run left, if it can be read."""
    try:
        return Mark(**orjson.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (orjson.JSONDecodeError, TypeError):
        raise InvalidRequest(f"{path} is not readable; import without --resume.") from None


def write_mark(path: Path, mark: Mark) -> None:
    """Replace the mark, whole or not at all."""
    fresh = path.with_name(f"{path.name}.new")
    with fresh.open("wb") as file:
        file.write(orjson.dumps(mark))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
