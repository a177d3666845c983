"""Content hashes of entries: one pass over the bytes, then none until a file changes.

The hash of an entry covers what the entry says (reader and its settings; not where the files lie) and the bytes of
every file it reads, in sorted order. The digest of a file is kept by path, size and modification time, so a second
snapshot of ten thousand chunk files reads none of them. A remote file is known by the server's checksum (ETag, MD5),
and read where the server gives none.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import logging
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import pandas as pd

from workbench.contracts import CatalogError, WorkbenchError, threads

if TYPE_CHECKING:
    from workbench.catalog.view import Catalog

log = logging.getLogger(__name__)
ALGORITHM = "blake2b-16"
BLOCK = 1 << 20
FRESH_NS = 2_000_000_000
"""A file changed less than this ago is not remembered: a second change may leave size and time the same."""
CHECKSUMS = ("ETag", "etag", "Content-MD5", "md5Hash", "contentMD5", "checksum")


@dataclass(frozen=True)
class SourceFile:
    """One file of an entry: its name inside the entry, where it lies, and its size in bytes (None: not there)."""

    name: str
    path: str
    size: int | None
    mtime_ns: int | None = None
    """Of a local file; a remote one has none."""
    checksum: str | None = None
    storage_options: tuple[tuple[str, Any], ...] = ()


def cache_folder() -> Path:
    """Return the folder of caches: ``WORKBENCH_CACHE``, else the platform's (``XDG_CACHE_HOME`` or ``~/.cache``)."""
    if named := os.environ.get("WORKBENCH_CACHE"):
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(base) if base else Path.home() / ".cache") / "eco-workbench"


def hash_entries(catalog: Catalog, entries: Iterable[str], *, progress: bool = False) -> dict[str, str]:
    """Return the content hash of each entry, as ``blake2b-16:<32 hex digits>``.

    Raises
    ------
    EntryMissing
        If the catalog lacks one of ``entries``.
    CatalogError
        If a file cannot be read.
    """
    sources = {entry: entry_files(catalog, entry) for entry in entries}
    total = sum(f.size or 0 for files in sources.values() for f in files)
    digests = _digests([f for files in sources.values() for f in files], total, progress=progress)
    return {entry: _entry_hash(catalog, entry, files, digests) for entry, files in sources.items()}


def entry_size(catalog: Catalog, entry: str) -> int | None:
    """Return the bytes an entry's files take; None where the server of one does not tell."""
    sizes = [f.size for f in entry_files(catalog, entry)]
    return None if any(s is None for s in sizes) else sum(s for s in sizes if s is not None)


def entry_files(catalog: Catalog, entry: str) -> list[SourceFile]:
    """Return the files an entry reads, sorted by name; clips include the video files that their table names."""
    data = _data_of(catalog.reader(entry))
    found: list[SourceFile] = []
    if data is not None:
        urls = data.url if isinstance(data.url, list) else [data.url]
        for i, url in enumerate(urls):
            found += _files_below(url, data.storage_options or {}, f"{i:06d} " if len(urls) > 1 else "")
    if entry == "clips" and "://" not in catalog.path_of("x"):
        found += _clip_files(catalog)
    return sorted(found, key=lambda f: f.name)


def _clip_files(catalog: Catalog) -> Iterator[SourceFile]:
    try:
        named = sorted(set(catalog.table("clips", ["path"])["path"]))
    except WorkbenchError:  # an unusable table has no files; check() reports why
        return
    for path in named:
        try:
            yield _local(f"clip/{path}", Path(catalog.path_of(path)))
        except CatalogError:  # it leads out of the folder: never opened
            yield SourceFile(f"clip/{path}", path, None)


def _data_of(reader: Any) -> Any:
    return next((a for a in (*reader.kwargs.get("args", ()), reader.kwargs.get("data")) if hasattr(a, "url")), None)


def _files_below(url: str, options: dict[str, Any], order: str) -> Iterator[SourceFile]:
    fs, root = fsspec.core.url_to_fs(url, **options)
    base = root.rstrip("/").rpartition("/")[2]
    if "file" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol):
        top, prefix = Path(root), f"{order}{base}/" if order else ""
        if top.is_dir():
            for folder, _, names in os.walk(top):
                for name in names:
                    file = Path(folder) / name
                    yield _local(prefix + file.relative_to(top).as_posix(), file)
        else:
            yield _local(prefix, top)
        return
    try:
        paths = fs.find(root) or [root]
    except (NotImplementedError, OSError):
        paths = [root]
    for path in paths:
        info = fs.info(path)
        name = (f"{order}{base}/" if order else "") + path[len(root) :].lstrip("/")
        checksum = next((str(info[k]) for k in CHECKSUMS if info.get(k)), None)
        full = fs.unstrip_protocol(path)
        yield SourceFile(name, full, info.get("size"), checksum=checksum, storage_options=tuple(options.items()))


def _local(name: str, file: Path) -> SourceFile:
    try:
        stat = file.stat()
    except OSError:
        return SourceFile(name, str(file), None)
    return SourceFile(name, str(file), stat.st_size, stat.st_mtime_ns)


def _entry_hash(catalog: Catalog, entry: str, files: list[SourceFile], digests: dict[str, str]) -> str:
    block, reader = catalog.description(entry), catalog.reader(entry)
    settings = {k: v for k, v in reader.kwargs.items() if k not in ("args", "data", "output_instance")}
    data = _data_of(reader)
    kind = None if data is None else [type(data).__name__, getattr(data, "root", None) or ""]
    said = json.dumps([block["reader"], kind, settings], sort_keys=True, ensure_ascii=False, default=_plain)
    total = hashlib.blake2b(digest_size=16)
    total.update(said.encode())
    if block["reader"].endswith(":SqlTable"):  # no file to hash: the rows themselves, in whatever order they came
        rows = pd.util.hash_pandas_object(reader.read().astype(str), index=False)
        total.update(rows.sort_values().to_numpy().tobytes())
    for f in files:
        total.update(f"\n{f.name}\0{digests[f.path]}".encode())
    return f"{ALGORITHM}:{total.hexdigest()}"


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, (dt.date, dt.datetime)) else repr(value)


def _digests(files: list[SourceFile], total: int, *, progress: bool) -> dict[str, str]:
    from tqdm import tqdm

    out: dict[str, str] = {}
    bar = tqdm(total=total, unit="B", unit_scale=True, desc="hashing", disable=None if progress else True, leave=False)
    with _FileDigests() as known, bar, ThreadPoolExecutor(threads()) as pool:
        todo = []
        for f in {f.path: f for f in files}.values():
            if f.checksum is not None:
                out[f.path] = f"remote:{f.checksum}:{f.size}"
            elif f.mtime_ns is not None and (digest := known.get(f)) is not None:
                out[f.path] = digest
            elif f.size is None and "://" not in f.path:
                out[f.path] = "absent"
            else:
                todo.append(f)
                continue
            bar.update(f.size or 0)
        for f, digest in zip(todo, pool.map(_digest, todo), strict=True):
            out[f.path] = digest
            bar.update(f.size or 0)
            known.put(f, digest)
    return out


def _digest(file: SourceFile) -> str:
    total = hashlib.blake2b(digest_size=16)
    try:
        with fsspec.open(file.path, "rb", **dict(file.storage_options)) if "://" in file.path else open(file.path, "rb") as stream:  # noqa: PTH123
            while block := stream.read(BLOCK):
                total.update(block)
    except OSError as error:
        raise CatalogError("cannot read a file of the catalog", got=str(error), where=file.path, next_step="check its rights") from error
    return total.hexdigest()


class _FileDigests:
    """Digests of local files by (path, size, mtime), in one SQLite file; without it everything is read again."""

    def __init__(self) -> None:
        self._file = cache_folder() / "digests.sqlite"
        self._db: sqlite3.Connection | None = None
        self._new: list[tuple[str, int, int, str]] = []

    def __enter__(self) -> _FileDigests:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self._file, timeout=30)
            self._db.execute("CREATE TABLE IF NOT EXISTS digests (path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, digest TEXT)")
        except (sqlite3.Error, OSError) as error:
            self._lost(error)
        return self

    def get(self, file: SourceFile) -> str | None:
        if self._db is None:
            return None
        try:
            row = self._db.execute("SELECT size, mtime_ns, digest FROM digests WHERE path = ?", (file.path,)).fetchone()
        except sqlite3.Error as error:
            self._lost(error)
            return None
        return str(row[2]) if row is not None and row[:2] == (file.size, file.mtime_ns) else None

    def put(self, file: SourceFile, digest: str) -> None:
        if file.size is not None and file.mtime_ns is not None and time.time_ns() - file.mtime_ns > FRESH_NS:
            self._new.append((file.path, file.size, file.mtime_ns, digest))

    def __exit__(self, *_: object) -> None:
        if self._db is None:
            return
        try:
            with self._db:
                self._db.executemany("INSERT OR REPLACE INTO digests VALUES (?, ?, ?, ?)", self._new)
        except sqlite3.Error as error:
            self._lost(error)
        else:
            self._db.close()

    def _lost(self, error: Exception) -> None:
        log.warning("the cache of file digests cannot be used (%s: %s); files are read again", self._file, error)
        if self._db is not None:
            self._db.close()
        self._db = None
