"""Every error a user can meet: what happened, where, and what to do."""

from __future__ import annotations

from typing import Any


class SpectrariumError(Exception):
    """Base of all errors raised on purpose.

    Parameters
    ----------
    what : what happened, one sentence
    code : stable, machine-readable reason within the class (``truncated``, ``unknown_format`` …)
    where : file, HDU, row or argument concerned
    remedy : what the caller can do about it
    """

    default_code = "error"
    exit_code = 1

    def __init__(
        self, what: str, *, code: str | None = None, where: str = "", remedy: str = ""
    ) -> None:
        super().__init__(what)
        self.what = what
        self.code = code or self.default_code
        self.where = where
        self.remedy = remedy

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.__dict__.copy(), self.args)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text} ({self.remedy})" if self.remedy else text

    def record(self) -> dict[str, str]:
        """The error as plain fields for ``--json`` and the quarantine."""
        return {
            "code": self.code,
            "reason": self.what,
            "where": self.where,
            "remedy": self.remedy,
        }


def _rebuild(
    cls: type[SpectrariumError], state: dict[str, Any], args: tuple[Any, ...]
) -> SpectrariumError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class UsageError(SpectrariumError):
    """The caller asked for something that cannot be done and can ask differently."""

    default_code = "usage"
    exit_code = 2


class DataError(SpectrariumError):
    """A file, HDU or row is bad: it goes to the quarantine.

    ``hdu`` and ``row`` are None where the whole file is meant.
    """

    default_code = "bad_data"
    exit_code = 3

    def __init__(
        self,
        what: str,
        *,
        code: str | None = None,
        where: str = "",
        remedy: str = "",
        hdu: int | None = None,
        row: int | None = None,
    ) -> None:
        super().__init__(what, code=code, where=where, remedy=remedy)
        self.hdu = hdu
        self.row = row


class TransientError(SpectrariumError):
    """Something outside failed for now (a lock, a network, a full disk): try again."""

    default_code = "try_again"
    exit_code = 4


class InternalError(SpectrariumError):
    """A defect of Spectrarium itself."""

    default_code = "internal"
    exit_code = 5
