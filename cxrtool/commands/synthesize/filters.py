"""What `cxr synthesize` says of its filters."""

from typing import Any

from cxrtool.core import console


def show_filters(summary: dict[str, Any]) -> None:
    """Acceptance and shift a class as a table on stderr, where anything was refused."""
    first = next(iter(summary.values()), None)
    if first is None or not first["rejected"]:
        return
    names = list(first["rejected"])
    shift = ["teacher"] if "teacher" in first["scores"] else []
    columns = ("class", "images", "tries", "accepted", *names, *(f"{m} shift" for m in shift))
    rows = [
        (
            label,
            one["images"],
            one["tries"],
            f"{100 * one['acceptance']:.1f} %",
            *(one["rejected"][name] for name in names),
            *(f"{one['scores'][meter]['shift']:+.4f}" for meter in shift),
        )
        for label, one in summary.items()
    ]
    console.table("tries that each filter refused", columns, rows)
