"""A picture of a run: CPU seconds of each peer over those of Qsky, one line a case, on a logarithmic axis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.cases import HATS_IMPORT, LSDB, POSTGRES, PYARROW, QSKY, STILTS
from benchmarks.report import seconds

# Okabe and Ito's colours, which everybody can tell apart, each with a shape of its own.
_LOOKS = {
    LSDB: ("#0072B2", "o"),
    HATS_IMPORT: ("#56B4E9", "h"),
    POSTGRES: ("#D55E00", "s"),
    PYARROW: ("#009E73", "D"),
    STILTS: ("#CC79A7", "^"),
}


def draw(report: dict[str, Any], file: Path) -> None:
    """Write the picture as PNG. Cases without a peer are not shown."""
    from matplotlib.figure import Figure

    cases = [case for case in report["cases"] if QSKY in case["sides"] and len(case["sides"]) > 1][::-1]
    figure = Figure(figsize=(9, 1.6 + 0.46 * len(cases)), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(1, color="#333333", linewidth=1.2)
    seen: set[str] = set()
    for height, case in enumerate(cases):
        for side, said in case["sides"].items():
            if side == QSKY or not said["cpu_over_qsky"]:
                continue
            colour, shape = _LOOKS[side]
            label = None if side in seen else side
            seen.add(side)
            axes.plot(said["cpu_over_qsky"], height, shape, color=colour, markersize=8, label=label, zorder=3)
            text = f"{said['cpu_over_qsky']:.2g}" if said["cpu_over_qsky"] < 100 else f"{said['cpu_over_qsky']:,.0f}"
            axes.annotate(
                text, (said["cpu_over_qsky"], height), (0, 6), textcoords="offset points", ha="center", size=7
            )
    _label(axes, report, cases)
    figure.savefig(file)


def _label(axes: Any, report: dict[str, Any], cases: list[dict[str, Any]]) -> None:
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, 0.3) / 1.2, max(high, 10) * 1.6)
    axes.set_ylim(-0.6, len(cases) - 0.3)
    own = [f"{case['title']}\nQsky {seconds(case['sides'][QSKY]['cpu_s'])}" for case in cases]
    axes.set_yticks(range(len(cases)), own, size=8)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.grid(axis="y", color="#eeeeee", linewidth=0.6)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("CPU seconds over those of Qsky (right of the line: Qsky needs less)")
    axes.set_title(
        f"Qsky and its peers, {report['objects']:,} objects, {report['machine']['cores']} cores", size=11, loc="left"
    )
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.09), ncols=5, frameon=False, fontsize=8)
