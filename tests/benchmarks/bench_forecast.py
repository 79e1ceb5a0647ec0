"""`make bench-forecast`: forecasts beside others' methods, in one run. The last line is one JSON object.

LLM-like series of seeds 6 to 20 (1 to 5 were for tuning), and the daily series that packages ship. "bets" is the
product's method with the known price schedule; "bets_blind" the same without it. SIZE=full takes more series a seed.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import numpy as np

from governance.forecasting import backtest, bets
from tests.benchmarks.forecast_series import Spend, spend

SEEDS = range(6, 21)
SERIES_A_SEED = {"small": 20, "full": 60}
FIRST_DAY = date(2025, 1, 1)
# A change this long before an origin still bends a line through the last month.
PRICE_WINDOW = 31
TIMED_SERIES = 1000
ROOT = Path(__file__).resolve().parent.parent.parent
BENCH_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
GOALS = (
    ("MASE at 30 days under seasonal naive", 15, "llm_like", "mase30", "seasonal_naive"),
    ("MASE at 30 days under Koku", 20, "llm_like", "mase30", "koku_ols"),
    ("month total on day 10 under Koku", 10, "llm_like", "month_ape_day10", "koku_ols"),
    ("with a price change under Koku", 30, "llm_price_change", "month_ape_day10", "koku_ols"),
)
Answer = dict[str, dict[str, dict[str, float]]]


def main() -> None:
    size = os.environ.get("SIZE", "small")
    print(f"LLM-like series of seeds 6 to 20, {SERIES_A_SEED[size]} a seed", flush=True)
    worlds = [spend(seed, SERIES_A_SEED[size]) for seed in SEEDS]
    world = Spend(np.concatenate([each.usage for each in worlds]), np.concatenate([each.prices for each in worlds]))
    answer, coverage = _llm_like(world)
    answer |= _shipped()
    seconds, peak = _timed()
    _print_goals(answer, coverage, seconds, peak)
    print(json.dumps({**answer, **coverage, "seconds_per_1000": seconds, "peak_mb": peak}))


def _llm_like(world: Spend) -> tuple[Answer, dict[str, object]]:
    money = np.where(np.cumsum(world.money, axis=1) > 0, world.money, np.nan)
    priced = backtest.Panel(money, FIRST_DAY, world.prices)
    blind = backtest.Panel(money, FIRST_DAY)
    origins = backtest.month_origins(priced, 6)

    def near_a_change(origin: int) -> np.ndarray:
        window = world.prices[:, max(0, origin - PRICE_WINDOW) : origin + 31]
        return (window != window[:, :1]).any(axis=1)

    whole = backtest.backtest(priced, origins)
    unaware = backtest.backtest(blind, origins, ("bets",))
    changing = backtest.backtest(priced, origins, judged_at=near_a_change)
    changing_unaware = backtest.backtest(blind, origins, ("bets",), judged_at=near_a_change)
    for name, verdict, other in (
        ("LLM-like", whole, unaware),
        ("LLM-like, near a price change", changing, changing_unaware),
    ):
        _print_table(name, verdict, other)
    answer = {"llm_like": _figures(whole, unaware), "llm_price_change": _figures(changing, changing_unaware)}
    by_day = {str(day): [round(one, 4) for one in pair] for day, pair in whole.coverage_by_day.items()}
    return answer, {
        "coverage80": round(whole.coverage80 or 0, 4),
        "coverage95": round(whole.coverage95 or 0, 4),
        "coverage_by_day": by_day,
        "series": whole.series,
        "origins": whole.origins,
    }


def _shipped() -> Answer:
    """Series that packages ship, from an environment of their own; nothing where it can't be made."""
    if not BENCH_PYTHON.exists():
        print("shipped series: left out, no environment for them (make bench-forecast makes it)")
        return {}
    script = Path(__file__).with_name("shipped_series.py")
    printed = subprocess.run([str(BENCH_PYTHON), str(script)], capture_output=True, text=True, check=True).stdout
    answer: Answer = {}
    for package, series in json.loads(printed).items():
        if not series:
            print(f"{package}: ships no daily series")
            continue
        first = date.fromisoformat(next(iter(series.values()))["first_day"])
        alike = [one["values"] for one in series.values() if one["first_day"] == str(first)]
        verdicts = [
            backtest.backtest(panel, backtest.month_origins(panel, 24))
            for panel in (
                backtest.Panel(np.maximum(np.array(alike), 0), first),
                *(
                    backtest.Panel(np.maximum(np.array([one["values"]]), 0), date.fromisoformat(one["first_day"]))
                    for one in series.values()
                    if one["first_day"] != str(first)
                ),
            )
        ]
        for verdict in verdicts:
            _print_table(f"{package}, {verdict.series} series", verdict, None)
        answer[package.replace("-", "_")] = _mean_figures([_figures(one, None) for one in verdicts])
    return answer


def _figures(verdict: backtest.Verdict, blind: backtest.Verdict | None) -> dict[str, dict[str, float]]:
    mase, month = dict(verdict.mase[30]), dict(verdict.month_ape[10])
    if blind is not None:
        mase["bets_blind"], month["bets_blind"] = blind.mase[30]["bets"], blind.month_ape[10]["bets"]
    return {
        "mase30": {method: round(value, 4) for method, value in mase.items()},
        "month_ape_day10": {method: round(value, 4) for method, value in month.items()},
    }


def _mean_figures(each: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    return {
        name: {method: round(float(np.mean([one[name][method] for one in each])), 4) for method in each[0][name]}
        for name in each[0]
    }


def _print_table(name: str, verdict: backtest.Verdict, blind: backtest.Verdict | None) -> None:
    methods = list(verdict.mase[30])
    days = list(verdict.month_ape)
    print(f"\n{name}: {verdict.series} series, {verdict.origins} origins")
    heads = [*(f"MASE {horizon}" for horizon in verdict.mase), *(f"month, day {day}" for day in days)]
    print(f"{'':16}" + "".join(f"{head:>15}" for head in heads))
    rows: list[tuple[str, backtest.Verdict, str]] = [(method, verdict, method) for method in methods]
    if blind is not None:
        rows.append(("bets_blind", blind, "bets"))
    for label, source, method in rows:
        cells = [f"{source.mase[horizon][method]:15.3f}" for horizon in verdict.mase]
        cells += [f"{source.month_ape[day][method]:15.1%}" for day in days]
        print(f"{label:16}" + "".join(cells))
    if verdict.coverage80 is not None and verdict.coverage95 is not None:
        print(f"month totals inside their 80 % interval {verdict.coverage80:.1%}, 95 %: {verdict.coverage95:.1%}")


def _print_goals(answer: Answer, coverage: Mapping[str, object], seconds: float, peak: float) -> None:
    print()
    for words, goal, dataset, figure, other in GOALS:
        values = answer[dataset][figure]
        gain = 100 * (1 - values["bets"] / values[other])
        print(f"{words}: {gain:.1f} % (goal {goal}): {'met' if gain >= goal else 'MISSED'}")
    for level, low, high in (("80", 0.78, 0.82), ("95", 0.93, 0.97)):
        share = float(str(coverage[f"coverage{level}"]))
        print(f"{level} % coverage: {share:.1%} (goal {low:.0%} to {high:.0%}): {_met(low <= share <= high)}")
    print(f"1,000 series: {seconds} s of CPU (goal 2): {_met(seconds < 2)}; {peak} MB (goal 250): {_met(peak < 250)}")


def _met(is_met: bool) -> str:
    return "met" if is_met else "MISSED"


def _timed() -> tuple[float, float]:
    """CPU seconds and peak memory of one fit, of a process of its own that holds nothing else."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_forecast", "timed"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    seconds, peak = json.loads(printed.splitlines()[-1])
    return seconds, peak


def _fit_once() -> None:
    history = np.random.default_rng(1).lognormal(3, 0.3, (TIMED_SERIES, bets.HISTORY_DAYS))
    started = time.process_time()
    bets.forecast(history)
    seconds = time.process_time() - started
    print(json.dumps([round(seconds, 2), round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)]))


if __name__ == "__main__":
    if sys.argv[1:] == ["timed"]:
        _fit_once()
    else:
        main()
