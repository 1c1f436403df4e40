"""Locks on files, which end with the process that has them, however it ends."""

from __future__ import annotations

import errno
import warnings
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from transferlab.errors import UserError

NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}
"""What a file system without locks answers: NFS without its lock daemon, Lustre without ``-o flock``, some of FUSE."""

MOMENT = 0.2
"""Seconds in which a lock that somebody only looks at is free again."""


def acquire(path: Path, wait: bool = False) -> BaseFileLock | None:
    """The lock on ``path``, until it is released; None where another process has it and ``wait`` is false.

    Raises :class:`UserError` where the file system has no locks.
    """
    lock = FileLock(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # filelock would go on with a file that outlives its process
            lock.acquire(timeout=-1 if wait else MOMENT)
    except Timeout:
        return None
    except (OSError, NotImplementedError, Warning) as error:
        if isinstance(error, OSError) and error.errno not in NO_LOCKS:
            raise
        why = error.strerror if isinstance(error, OSError) else "Function not implemented"
        raise UserError(
            f"{path.parent}: its file system has no locks ({why}); choose a folder on another, such as a local disk"
        ) from None
    return lock


def held(path: Path) -> bool:
    """Whether some process has the lock on ``path``. Writes nothing, and takes it from nobody for more than a moment.

    It counts as held where that may not be asked.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        lock = acquire(path) if path.exists() else None
        if lock:
            lock.release()
        return lock is None and path.exists()
    try:
        with path.open("rb") as file:  # a shared lock needs no right to write, and two who look do not meet
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError as error:
        return error.errno not in NO_LOCKS  # without locks nobody can run there
    return False
