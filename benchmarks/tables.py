"""Results as Markdown."""

from __future__ import annotations

from benchmarks.peers.contestants import PEERS, SIZES
from benchmarks.results import Results, Row
from benchmarks.targets import TARGETS


def markdown(head: list[str], body: list[list[str]]) -> str:
    """A table, the first column to the left, the others to the right."""
    align = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, align, *body))


def targets(results: Results) -> str:
    """Every target, what was measured, and the verdict."""
    body = []
    for target in TARGETS:
        measured, verdict = target.evaluate(results)
        bound = f"{'at least' if target.at_least else 'below'} {target.bound:g}"
        body.append([target.statement, bound, measured, verdict, target.remark])
    return markdown(["target", "bound", "measured (worst to best)", "", "remark"], body)


def peers(results: Results, kind: str) -> str:
    """Seconds of ntkng, and the others' ratios to them, a line per size."""
    what = f"peers, {kind}"
    names = others(results.every(what))
    body = []
    for size in results.sizes(what):
        rows = {row["contestant"]: row for row in results.every(what, **dict(zip("NMC", size, strict=True)))}
        own = rows["ntkng"]
        first = f"{own['seconds']:.4f} ± {own['spread']:.4f}" if "seconds" in own else "-"
        body.append([", ".join(map(str, size)), first, *[ratio(rows.get(name, {})) for name in names]])
    return markdown(["N, M, C", "ntkng, s", *names], body)


def contestants(rows: list[Row]) -> list[str]:
    """Their names, in the order in which they are listed, whatever was measured last."""
    order = [peer.name for peer in PEERS]
    found = dict.fromkeys(row["contestant"] for row in rows)
    return sorted(found, key=lambda name: order.index(name) if name in order else len(order))


def others(rows: list[Row]) -> list[str]:
    """Those that are not ntkng."""
    return [name for name in contestants(rows) if not name.startswith("ntkng")]


def ratio(row: Row) -> str:
    """Of the seconds, with a star where the step is another one."""
    if "ratio" not in row:
        return "-"
    return f"{row['ratio']:.{0 if row['ratio'] >= 20 else 1}f}x" + ("" if row["same"] else "\\*")


def memory(results: Results) -> str:
    """Peak memory of every contestant's process, MiB."""
    what = "peers, exact"
    names = contestants(results.every(what))
    body = []
    for size in results.sizes(what):
        rows = {row["contestant"]: row for row in results.every(what, **dict(zip("NMC", size, strict=True)))}
        cells = [f"{rows[n]['peak MiB']:.0f}" if "ratio" in rows.get(n, {}) else "-" for n in names]
        body.append([", ".join(map(str, size)), *cells])
    return markdown(["N, M, C", *names], body)


def loaded(results: Results) -> str:
    """What a process holds before its contestant is built: its imports, the weights and the data."""
    held = [row["peak MiB"] - row["working MiB"] for row in results.select("peers, exact") if "working MiB" in row]
    return f"{min(held):.0f} to {max(held):.0f}" if held else "-"


def absences(results: Results) -> str:
    """Who did not run where, and who computes something else."""
    notes = {(f"peers, {peer.kind}", peer.name): peer.note for peer in PEERS}
    lines: dict[str, list[str]] = {}
    for row in results.rows:
        if row["what"].startswith("peers"):
            size = f"{row['N']}, {row['M']}, {row['C']}"
            who = f"{row['contestant']} ({row['what'].removeprefix('peers, ')})"
            if "not run" in row:
                lines.setdefault(f"{who}: not run, {row['not run']}", []).append(size)
            elif not row["same"]:
                lines.setdefault(
                    f"\\* {who}: its step differs from ours by more than 2 %: {notes.get((row['what'], row['contestant']), '?')}",
                    [],
                ).append(size)
    for kind in ("exact", "K-FAC"):
        missing = set(SIZES) - set(results.sizes(f"peers, {kind}"))
        if missing:
            lines[f"nobody ({kind}): not measured yet"] = [", ".join(map(str, size)) for size in sorted(missing)]
    return "\n".join(f"- {text} (at {'; '.join(sizes)})" for text, sizes in lines.items())


def steps(results: Results) -> str:
    """Every approximation: seconds, ratio to exact, ratio to the floor."""
    body = [
        [f"{row['N']}, {row['M']}, {row['C']}", row["contestant"], f"{row['seconds']:.4f} ± {row['spread']:.4f}",
         f"{row['ratio to exact']:.2f}", f"{row['ratio to floor']:.2f}", f"{row['arithmetic']:.0%}"]
        for row in results.select("step")
    ]  # fmt: skip
    return markdown(
        ["N, M, C", "approximation", "seconds", "over exact", "over the floor", "arithmetic in the floor"], body
    )


def growth(results: Results) -> str:
    """Fitted exponents, over the whole grid and over its last interval."""
    rows = results.select("growth")
    if not rows:
        return "not run"
    names, quantities = (list(dict.fromkeys(row[key] for row in rows)) for key in ("contestant", "in"))
    found = {(row["contestant"], row["in"]): f"{row['exponent']:.2f} ({row['last interval']:.2f})" for row in rows}
    head = ["", *[_grid(q, rows) for q in quantities]]
    return markdown(head, [[name, *[found.get((name, q), "-") for q in quantities]] for name in names])


def _grid(quantity: str, rows: list[Row]) -> str:
    row = next(row for row in rows if row["in"] == quantity)
    return f"{quantity} ({row['from']} to {row['to']})"


def plain(results: Results, what: str, columns: dict[str, str]) -> str:
    """Rows of one measurement; `columns` maps keys to headings."""
    rows = results.every(what)
    columns = {key: heading for key, heading in columns.items() if any(key in row for row in rows)}
    body = [[_cell(row.get(key)) for key in columns] for row in rows]
    return markdown(list(columns.values()), body) if body else "not run"


def _cell(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else "-" if value is None else f"{value}"
