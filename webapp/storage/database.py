"""One SQLite file: checked before use, backed up and migrated by numbered steps, written through one connection.

The journal mode is WAL with `synchronous=FULL`, so the start and the end of a run survive a power failure. A run makes
few commits, so one fsync per commit costs little. Every write transaction begins with IMMEDIATE: a transaction that
reads first and then writes would fail with SQLITE_BUSY at once instead of waiting for the lock.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import threading
import zlib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from urllib.parse import quote

from coreserver.errors import ServerlabError
from webapp.problems import StorageFull, Unavailable

BUSY_TIMEOUT_S = 5.0
_DISK = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}
_TURN = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


class DatabaseError(ServerlabError):
    """The file cannot be used. It is unchanged, except by migration steps that were completed before the error."""


def migrations() -> list[str]:
    """Return the SQL of every step in order; step n takes a database from version n - 1 to version n."""
    folder = resources.files("webapp.storage") / "migrations"
    steps = sorted((entry.name, entry.read_text()) for entry in folder.iterdir() if entry.name.endswith(".sql"))
    for number, (name, _) in enumerate(steps, start=1):
        if not re.match(rf"{number:04d}_", name):
            raise RuntimeError(f"migration {name} must begin with the number {number:04d}")
    return [sql for _, sql in steps]


class Database:
    """A database file with one connection for writing and one for reading.

    Any thread may use either connection; a lock per connection admits one thread at a time. A reader does not wait for
    a writer, and reads the state before its transaction. A block of `read` or `write` must be short and must not open
    another block of the same kind, because the locks are not reentrant. `Store` has the SQL of the tables.
    """

    def __init__(self, path: Path) -> None:
        """Open the file at `path`, or create it; back it up and migrate it if its schema is older.

        Raises:
            DatabaseError: it is damaged, of a newer version, of another program, or cannot be written or backed up.
        """
        steps = migrations()
        try:
            version = _inspect(path, newest=len(steps))
            if 0 < version < len(steps):
                _back_up(path, backup_path(path, version + 1))
            self._writer = _connect(path)
            try:
                _migrate(self._writer, steps)
                self._reader = _connect(path)
            except BaseException:
                self._writer.close()
                raise
        except sqlite3.Error as error:
            raise DatabaseError(f"{path} cannot be used: {error}") from error
        self._writing, self._reading = threading.Lock(), threading.Lock()

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Run the block as a transaction, which is rolled back if the block raises.

        Raises:
            StorageFull: the disk is full or failing; nothing was written.
            Unavailable: another program holds the lock; nothing was written.
        """
        with self._writing, _as_problems():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            finally:
                if self._writer.in_transaction:  # the block or the commit failed, and SQLite did not roll back
                    self._writer.execute("ROLLBACK")

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection for reading. Waits for other readers, and not for a write in progress."""
        with self._reading, _as_problems():
            yield self._reader

    def close(self) -> None:
        """Close both connections; the last one writes the WAL into the file."""
        with self._writing, self._reading:
            self._reader.close()
            self._writer.close()


def backup_path(path: Path, step: int) -> Path:
    """Return the file that keeps the database as it was before migration `step`."""
    return path.with_name(f"{path.name}.before-migration-{step}")


def _inspect(path: Path, *, newest: int) -> int:
    """Check an existing file without changing it and return its version; 0 if it is new."""
    if not path.exists() or path.stat().st_size == 0:
        return 0
    with contextlib.closing(_open_read_only(path)) as database:
        version: int = database.execute("PRAGMA user_version").fetchone()[0]
        if version > newest:
            raise DatabaseError(
                f"{path} is the database of a newer Serverlab (schema version {version}; this program reads versions "
                f"up to {newest}) and was not changed: install a newer Serverlab, or choose another data directory"
            )
        (tables,) = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if version == 0 and tables:
            raise DatabaseError(
                f"{path} is the database of another program and was not changed: choose another data directory"
            )
        (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise DatabaseError(
                f"{path} is damaged ({verdict}) and was not changed: restore a backup, or choose another data directory"
            )
        return version


def _open_read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S)


def _back_up(path: Path, backup: Path) -> None:
    """Copy the database to `backup`, which appears only when it is complete; DatabaseError if that fails."""
    draft = backup.with_name(f"{backup.name}.new")
    try:
        draft.unlink(missing_ok=True)
        draft.touch(mode=path.stat().st_mode & 0o777)
        with (
            contextlib.closing(_open_read_only(path)) as source,
            contextlib.closing(sqlite3.connect(draft)) as target,
        ):
            source.backup(target)
        draft.replace(backup)
    except (sqlite3.Error, OSError) as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise DatabaseError(
            f"{path} has an older schema, and its backup {backup.name} cannot be written ({error}), so it was not "
            "migrated: free some space in its directory and start again"
        ) from error


def _inflated(blob: bytes) -> str | None:
    """The SQL function of the migrations; NULL for a damaged blob, which must not prevent the migration."""
    try:
        return zlib.decompress(blob).decode()
    except (zlib.error, ValueError):
        return None


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.create_function("inflated", 1, _inflated, deterministic=True)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _migrate(connection: sqlite3.Connection, steps: list[str]) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    for number, sql in enumerate(steps[version:], start=version + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {sql}; PRAGMA user_version = {number}; COMMIT;")
    connection.executescript("BEGIN IMMEDIATE; ROLLBACK;")  # fails now, and not in the first run, if it is read-only


@contextlib.contextmanager
def _as_problems() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        code = error.sqlite_errorcode & 0xFF  # the primary result code; the other bytes extend it
        if code in _DISK:
            raise StorageFull("the disk is full or failing; nothing was stored") from error
        if code in _TURN:
            raise Unavailable(f"another program has locked the database for more than {BUSY_TIMEOUT_S:g} s") from error
        raise
