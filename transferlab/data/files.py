"""Finding, fetching and checking files."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import logging
import os
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from transferlab.data.contract import Settings
from transferlab.errors import DataMissing
from transferlab.files import cache_dir, expanded, sha256

log = logging.getLogger(__name__)
TIMEOUT = 10.0
_unreachable: set[str] = set()


@dataclass(frozen=True)
class Remote:
    """A file at a public address, with the MD5 of its bytes."""

    url: str
    md5: str


def cache_place(folder: str = "") -> str:
    """Where in the cache the user may put files, for messages: " or ~/.cache/…"; nothing where there is none."""
    try:
        return f" or {cache_dir() / folder}"
    except OSError:
        return ""


def roots(settings: Settings) -> list[Path]:
    """Where data is looked for: data.root, then $TRANSFERLAB_DATA, then the user's cache."""
    places = [expanded(place) for place in (settings.root, os.environ.get("TRANSFERLAB_DATA")) if place]
    with contextlib.suppress(OSError):
        places.append(cache_dir())
    return places


def files_or_sample(
    name: str, folders: Sequence[str], files: Mapping[str, Remote | None], settings: Settings, sample: bool
) -> dict[str, Path] | None:
    """Paths of all ``files``, found or downloaded; None where the packaged sample is to be used.

    folders: where under each root, "." for the root itself; a root that has one of these names is the folder.
    Raises :class:`DataMissing` where neither is possible.
    """
    if settings.edition == "sample":
        if sample:
            return None
        raise DataMissing(f"data.edition=sample: the package has no sample of {name}; use data.edition=full", name)
    for root in roots(settings):
        for folder in _candidates(root, folders):
            paths = {file: _plain_or_packed(folder, file) for file in files}
            if all(path.is_file() for path in paths.values()):
                return paths
    problem = "data.download=false"
    if settings.download != "false":
        try:
            return {file: fetch(name, file, remote) for file, remote in files.items()}
        except (OSError, ValueError) as error:
            problem = " ".join(str(error).split())
            if settings.download == "true":
                raise DataMissing(f"{name}: download failed ({problem}); {_where(folders, files)}", name) from None
    if settings.edition == "auto" and sample:
        log.warning("%s: taking the packaged sample; for the full set %s", name, _where(folders, files))
        return None
    raise DataMissing(f"{name}: not found and not downloaded ({problem}); {_where(folders, files)}", name)


def by_hand(
    name: str, folders: Sequence[str], choices: Sequence[Sequence[str]], settings: Settings, origin: str
) -> list[Path]:
    """Paths of the first of ``choices`` that is there as a whole, for a set that is neither packaged nor downloaded.

    folders: as for :func:`files_or_sample`. choices: names of files or folders that each hold the set. origin: where
    the data comes from. Raises :class:`DataMissing` that says so where none is there.
    """
    todo = f"put {', '.join(choices[0])} into <data.root>/{folders[0]}{cache_place(folders[0])} ({origin})"
    if settings.edition == "sample":
        raise DataMissing(
            f"data.edition=sample: the package has no sample of {name}; use data.edition=full and {todo}", name
        )
    paths = at_hand(folders, choices, settings)
    if not paths:
        raise DataMissing(f"{name}: not found; {todo}", name)
    return paths


def at_hand(folders: Sequence[str], choices: Sequence[Sequence[str]], settings: Settings) -> list[Path]:
    """Paths of the first of ``choices`` that is there as a whole, as for :func:`by_hand`; empty where none is."""
    for root in roots(settings):
        for folder in _candidates(root, folders):
            for choice in choices:
                paths = [folder / file for file in choice]
                if all(path.exists() for path in paths):
                    return paths
    return []


def _candidates(root: Path, folders: Sequence[str]) -> list[Path]:
    # Several sets call their files as MNIST does, so a root is searched itself only if it is called as the set.
    itself = f"/{root.resolve().as_posix().lower()}"
    named = any(itself.endswith(f"/{folder.lower()}") for folder in folders)
    return [*(root / folder for folder in folders), *([root] if named else [])]


def _where(folders: Sequence[str], files: Mapping[str, object]) -> str:
    return f"put {', '.join(files)} into <data.root>/{folders[0]}{cache_place(folders[0])}"


def _plain_or_packed(folder: Path, file: str) -> Path:
    plain = folder / file.removesuffix(".gz")
    return plain if plain.is_file() else folder / file


def fetch(name: str, file: str, remote: Remote | None) -> Path:
    """Download ``file`` into the user's cache. Raises OSError, or ValueError for a wrong checksum.

    What is not whole stands under another name, so the file is either right or not there.
    """
    path = cache_dir() / name / file
    if path.is_file():
        return path
    if remote is None:
        raise ValueError(f"{file} has no public address for a single file")
    host = remote.url.split("/")[2]
    if host in _unreachable:
        raise OSError(f"{host} did not answer")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{file}.{os.getpid()}.part")
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with urllib.request.urlopen(remote.url, timeout=TIMEOUT) as answer, partial.open("wb") as out:
            from tqdm import tqdm

            size = int(answer.headers.get("Content-Length") or 0) or None
            with tqdm(total=size, unit="B", unit_scale=True, desc=file, disable=None) as bar:
                while piece := answer.read(1 << 20):
                    out.write(piece)
                    digest.update(piece)
                    bar.update(len(piece))
            out.flush()
            os.fsync(out.fileno())
        if digest.hexdigest() != remote.md5:
            raise ValueError(f"{remote.url}: MD5 {digest.hexdigest()} instead of {remote.md5}")
        partial.replace(path)
    except http.client.HTTPException as error:
        _unreachable.add(host)
        raise OSError(f"{host}: {type(error).__name__} {error}") from None
    except OSError:
        _unreachable.add(host)
        raise
    finally:
        partial.unlink(missing_ok=True)
    return path


def provenance(name: str, edition: str, split: str, count: int, paths: Sequence[Path], **more: object) -> dict:
    """Where a split came from: name, edition, split, count and the checksums of its files."""
    files = {path.name: sha256(path) for path in paths}
    return {"name": name, "edition": edition, "split": split, "count": count, "files": files, **more}
