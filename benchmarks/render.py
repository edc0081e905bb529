"""Tables of what was measured, for a terminal and for the README."""

from collections.abc import Sequence

from benchmarks.harness import Ratio, Row

Table = Sequence[Sequence[str]]
"""Lines of cells, the first line being the header."""


def rates(rows: Sequence[Row]) -> Table:
    """One line per system and number in flight."""
    header = ["system", "version", "in flight", "executions/s", "lowest – highest", "CPU each", "journal, synchronous"]
    return [header] + [
        [
            row.name,
            row.version,
            str(row.in_flight),
            f"{row.per_second:,.0f}",
            f"{row.lowest:,.0f} – {row.highest:,.0f}",
            f"{row.cpu_per_execution * 1e6:,.0f} µs",
            f"{row.durability.get('journal_mode', '?')}, {row.durability.get('synchronous', '?')}",
        ]
        for row in rows
    ]


def ratios(found: Sequence[Ratio]) -> Table:
    """One line per target."""
    header = ["ratio", "in flight", "measured", "lowest – highest", "target", "holds"]
    return [header] + [
        [
            f"{ratio.target.subject} / {ratio.target.baseline}",
            str(ratio.target.in_flight),
            f"{ratio.value:.2f}",
            f"{ratio.lowest:.2f} – {ratio.highest:.2f}",
            f"≥ {ratio.target.at_least:g}",
            "yes" if ratio.holds else "NO",
        ]
        for ratio in found
    ]


def plain(table: Table) -> str:
    """Columns aligned with spaces: numbers to the right, words to the left."""
    return "\n".join("  ".join(line).rstrip() for line in _aligned(table))


def markdown(table: Table) -> str:
    """The same as a Markdown table."""
    header, *lines = _aligned(table)
    rule = [
        "-" * (len(cell) - 1) + (":" if _numeric(column) else "-")
        for cell, column in zip(header, zip(*table, strict=True), strict=True)
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, rule, *lines))


def _aligned(table: Table) -> list[Sequence[str]]:
    columns = []
    for column in zip(*table, strict=True):
        width = max(len(cell) for cell in column)
        justify = str.rjust if _numeric(column) else str.ljust
        columns.append([justify(cell, width) for cell in column])
    return list(zip(*columns, strict=True))


def _numeric(column: Sequence[str]) -> bool:
    return all(cell[:1].isdigit() for cell in column[1:])
