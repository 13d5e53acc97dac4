"""Fills the pages' tables, or says whether they are up to date."""

from __future__ import annotations

import click

from benchmarks.tables import PAGES, fill


@click.command(help="Fill the pages' tables from benchmarks/results.")
@click.option("--check", is_flag=True, help="Only say whether they are up to date.")
def main(check: bool) -> None:
    for page in PAGES:
        text = page.read_text()
        filled = fill(text)
        if check and filled != text:
            raise click.ClickException(
                f"{page.name} is out of date: run python -m benchmarks.tables"
            )
        if not check:
            page.write_text(filled)


if __name__ == "__main__":
    main()
