"""Errors of icmh: one class per exit code, each with a message of one line."""

from __future__ import annotations


class IcmhError(Exception):
    """Base of every error that icmh raises on purpose; exit code 1."""

    exit_code = 1


class UsageError(IcmhError):
    """An argument that cannot be used; exit code 2."""

    exit_code = 2


class ExistsError(UsageError):
    """A file that is there already and that nothing was said about overwriting."""


class FormatError(IcmhError):
    """Data that is not an .icm file, or a damaged one; exit code 3."""

    exit_code = 3


class MissingWeightsError(IcmhError):
    """A codec, predictor or adapter that the file or the command needs is not here; exit code 4."""

    exit_code = 4


class NewerVersionError(IcmhError):
    """A file of a newer major version than this reader knows; exit code 5."""

    exit_code = 5
