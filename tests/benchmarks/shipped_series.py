"""Run by an environment with requirements-bench.txt: prints the daily series that these packages ship, as JSON.

{package: {series: {"first_day": ..., "values": [...]}}}. Of statsmodels' and scikit-learn's own data nothing is daily:
theirs are yearly, quarterly, monthly or weekly, or no series; they are listed so that a newer version is noticed.
Temperatures are in kelvin, since the methods forecast amounts of at least 0.
"""

import json
from pathlib import Path

import pandas as pd
import vega_datasets

LEAST_DAYS = 250


def main() -> None:
    folder = Path(vega_datasets.__file__).parent / "_data"
    weather = pd.read_csv(folder / "seattle-weather.csv", parse_dates=["date"]).set_index("date")
    for name in ("temp_max", "temp_min"):
        weather[name] += 273.15
    series = {f"seattle {name}": weather[name] for name in ("precipitation", "wind", "temp_max", "temp_min")}
    for place in ("seattle", "sf"):
        hourly = pd.read_csv(folder / f"{place}-temps.csv", parse_dates=["date"]).set_index("date")["temp"]
        series[f"{place} hourly temperature"] = hourly.resample("D").mean().interpolate() * 5 / 9 + 255.372
    found = {"statsmodels": {}, "scikit-learn": {}, "vega-datasets": {}}
    for name, values in series.items():
        daily = values.asfreq("D").interpolate()
        if len(daily) >= LEAST_DAYS:
            found["vega-datasets"][name] = {
                "first_day": str(daily.index[0].date()),
                "values": [round(float(each), 4) for each in daily],
            }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
