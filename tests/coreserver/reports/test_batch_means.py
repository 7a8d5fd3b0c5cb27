"""The mean of a correlated series and its interval."""

import math
import random
from statistics import NormalDist

import numpy as np
import pytest

from coreserver.reports.batch_means import BATCHES, MIN_VALUES, estimate_mean, t_quantile

Z = NormalDist().inv_cdf(0.975)


def autoregressive(count: int, correlation: float, seed: int) -> list[float]:
    """Return a series with mean 5 whose neighbours are correlated."""
    rng = random.Random(seed)
    values: list[float] = []
    x = 0.0
    for _ in range(count):
        x = correlation * x + rng.gauss(0, 1)
        values.append(5 + x)
    return values


@pytest.mark.parametrize(  # from published tables
    ("freedom", "expected"), [(3, 3.182), (4, 2.776), (7, 2.365), (9, 2.262), (15, 2.131), (30, 2.042), (1e9, 1.960)]
)
def test_students_t(freedom: float, expected: float) -> None:
    assert t_quantile(Z, freedom) == pytest.approx(expected, rel=0.01)


def quantile_by_hand(freedom: float) -> float:
    """Return the bound up to which the area under Student's density from 0 is 0.475, by Simpson's rule."""
    at = np.linspace(0.0, 10.0, 20_001)
    root = math.sqrt(freedom * math.pi)
    height = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / root
    density = height * (1 + at**2 / freedom) ** (-(freedom + 1) / 2)
    slices = (density[:-2:2] + 4 * density[1:-1:2] + density[2::2]) * (at[2] - at[0]) / 6
    return float(np.interp(0.475, np.cumsum(slices), at[2::2]))


@pytest.mark.parametrize("freedom", [3, 3.5, 4.2, 6, 11, 15])  # correlated batches give fractions
def test_students_t_matches_its_density(freedom: float) -> None:
    assert t_quantile(Z, freedom) == pytest.approx(quantile_by_hand(freedom), rel=0.01)


def test_density_of_students_t() -> None:
    assert quantile_by_hand(4) == pytest.approx(2.776445, abs=2e-6)


@pytest.mark.parametrize(
    ("count", "known"), [(0, False), (MIN_VALUES - 1, False), (MIN_VALUES, True), (MIN_VALUES + 5, True)]
)
def test_too_few_values_have_no_estimate(count: int, known: bool) -> None:
    assert (estimate_mean(np.ones(count)) is not None) is known


def test_a_constant_has_no_error() -> None:
    estimate = estimate_mean(np.full(1000, 7.0))
    assert estimate is not None
    assert (estimate.mean, estimate.standard_error) == (7.0, 0.0)


def test_first_values_beyond_batches_are_dropped() -> None:
    estimate = estimate_mean([1000.0] * 3 + [2.0] * MIN_VALUES)
    assert estimate is not None
    assert estimate.mean == 2.0


def test_batch_means_by_hand() -> None:
    batches = np.repeat([1.0, -1.0] * (BATCHES // 2), 10)  # negative correlation does not reduce the error
    estimate = estimate_mean(batches)
    assert estimate is not None
    assert estimate.standard_error == pytest.approx((16 / 15 / 16) ** 0.5)
    assert estimate.freedom == 15


def test_trend_increases_the_error() -> None:
    trend = np.arange(1600.0)
    estimate = estimate_mean(trend)
    assert estimate is not None
    means = trend.reshape(16, 100).mean(axis=1)
    assert estimate.standard_error > 2 * means.std(ddof=1) / 4
    assert estimate.freedom == 3


@pytest.mark.parametrize("correlation", [0.0, 0.9, 0.97])
def test_interval_contains_mean_19_times_in_20(correlation: float) -> None:
    held = 0
    for seed in range(60):
        estimate = estimate_mean(autoregressive(2000, correlation, seed))
        assert estimate is not None
        low, high = estimate.interval_95()
        held += low <= 5 <= high
    assert held >= 53  # 57 are expected; the seeds are fixed, so the result is always the same
