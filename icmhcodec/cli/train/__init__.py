"""`icmh train`: train a base codec or a task's bundle, and export weights to the exact stage."""

from __future__ import annotations

import click

from icmhcodec.cli.report import help_if_alone
from icmhcodec.cli.train.adapter import adapter
from icmhcodec.cli.train.base import base
from icmhcodec.cli.train.export import export
from icmhcodec.cli.train.predictor import predictor
from icmhcodec.cli.train.task_adapter import task_adapter
from icmhcodec.cli.train.video import command as video


@click.group(invoke_without_command=True, short_help="Train codecs and bundles; export weights.")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Train a base codec, or a task's bundle on one; export weights to the exact stage."""
    help_if_alone(ctx)


for part in (base, adapter, predictor, task_adapter, video, export):
    command.add_command(part)
