"""Locks on files, which end with the process that has them, however it ends."""

from __future__ import annotations

import errno
import warnings
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from transferlab.errors import UserError

NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}
"""What a file system without locks answers: NFS without its lock daemon, Lustre without ``-o flock``, some of FUSE."""


def acquire(path: Path, wait: bool = False) -> BaseFileLock | None:
    """The lock on ``path``, until it is released; None where another process has it and ``wait`` is false.

    Raises :class:`UserError` where the file system has no locks.
    """
    lock = FileLock(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # filelock would go on with a file that outlives its process
            lock.acquire(timeout=-1 if wait else 0)
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
