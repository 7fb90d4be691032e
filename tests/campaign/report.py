"""The committed table of what the campaign found."""

import json
from datetime import date

from xtalsight.store import load_json, replacing, save_json
from xtalsight.study.profiles import root

TABLE = root() / "docs" / "campaign.md"
FOUND = root() / "docs" / "campaign.json"


def write_report(name: str, counts: dict):
    """Replace what was found of this name, with today's date, and write the table again."""
    found = load_json(FOUND) if FOUND.exists() else {}
    found[name] = {"date": date.today().isoformat(), **counts}
    save_json(FOUND, found)
    lines = [
        "# What the study survives",
        "",
        "Written by `make campaign`.",
        "",
        "| campaign | date | counts |",
        "|---|---|---|",
    ]
    for campaign, its in found.items():
        listed = ", ".join(f"{key}: {value}" for key, value in its.items() if key != "date")
        lines.append(f"| {campaign} | {its['date']} | {listed} |")
    with replacing(TABLE) as temporary:
        temporary.write_text("\n".join(lines) + "\n")
    print(json.dumps(found[name], ensure_ascii=False))
