"""Series that look like teams' daily spend on models: weekly shape, growth, launches, bursts and price changes, whose
day-to-day noise is drawn from real clients of a public trace (tests/samples/traces). Seeds 1 to 5 are for tuning.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SAMPLE = Path(__file__).parent.parent / "samples" / "traces" / "servegen_daily.csv"
DAYS = 425


@dataclass(frozen=True)
class Spend:
    """usage: (series, days) in money at the first day's prices; prices: the schedule, of the same shape."""

    usage: Floats
    prices: Floats

    @property
    def money(self) -> Floats:
        return self.usage * self.prices


def client_noise() -> Floats:
    """The spread of daily log tokens around their neighbours, one number a client of the trace."""
    with SAMPLE.open(encoding="utf-8") as file:
        rows = [[float(value) for name, value in row.items() if name.startswith("day")] for row in csv.DictReader(file)]
    tokens = np.array(rows)
    logs = np.log(np.where(tokens > 0, tokens, np.nan))
    # The difference of two days has twice the variance of one.
    spread = np.nanstd(np.diff(logs, axis=1), axis=1) / np.sqrt(2)
    return np.clip(spread[spread > 0.02], 0.05, 0.9)


def spend(seed: int, series: int) -> Spend:
    """`series` series of one random world."""
    random = np.random.default_rng(seed)
    noise = client_noise()
    pairs = [_one(random, noise) for _ in range(series)]
    return Spend(np.array([usage for usage, _ in pairs]), np.array([prices for _, prices in pairs]))


def _one(random: np.random.Generator, noise: Floats) -> tuple[Floats, Floats]:
    days = np.arange(DAYS)
    # Three of four teams work on weekdays.
    weekend = random.beta(4, 3) if random.random() < 0.75 else random.uniform(0.85, 1.1)
    week = np.array([1, 1.05, 1.05, 1.03, 0.95, weekend, weekend * 0.95]) * np.exp(random.normal(0, 0.05, 7))
    level = np.exp(random.normal(5, 1.6)) * np.exp(np.log1p(random.normal(0.04, 0.06)) * days / 30)
    for day in np.flatnonzero(random.random(DAYS) < 1 / 130):  # a launch, a migration
        level[day:] *= np.exp(random.normal(0.15, 0.6))
    # A team of many users is steadier than one client.
    usage = level * (week / week.mean())[days % 7] * _noise(random, random.choice(noise) * random.uniform(0.4, 0.8))
    for day in np.flatnonzero(random.random(DAYS) < 1 / 50):  # bursts, batch jobs
        usage[day : day + random.integers(1, 4)] *= random.uniform(1.8, 5)
    if random.random() < 0.25:  # begins within the time seen
        start = random.integers(0, 200)
        usage[:start] = 0
        usage[start:] /= 1 + np.exp(-(np.arange(DAYS - start) - 15) / 6)
    prices = np.ones(DAYS)
    for day in np.flatnonzero(random.random(DAYS) < 1 / 160):
        prices[day:] *= random.uniform(0.45, 1.08)
    return usage, prices


def _noise(random: np.random.Generator, spread: float) -> Floats:
    """Multiplicative, correlated from day to day, of mean 1."""
    memory = random.uniform(0.1, 0.7)
    steps = random.normal(0, spread * np.sqrt(1 - memory**2), DAYS)
    logs = np.zeros(DAYS)
    for day in range(1, DAYS):
        logs[day] = memory * logs[day - 1] + steps[day]
    return np.exp(logs - spread**2 / 2)
