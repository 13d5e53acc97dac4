from dataclasses import asdict
from pathlib import Path

from icmhcodec.container import DEFAULT_LIMITS

FORMAT = Path(__file__).parents[2] / "formats" / "icm.md"


def test_defaults_are_those_of_the_format() -> None:
    section = FORMAT.read_text().partition("## 10.")[2].partition("## 11.")[0]
    for limit in asdict(DEFAULT_LIMITS).values():
        assert f"| {limit:,} |" in section
