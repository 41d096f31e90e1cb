#!/usr/bin/env python3
"""Writes fixture.json: what scipy says of the data that loadgen's own statistics are tested with.

Run by hand when a statistic is added; the tests read the file and need no Python:
    python3 -m venv venv && venv/bin/pip install numpy scipy && venv/bin/python loadgen/tests/stats/make_fixture.py
"""

import itertools
import json
import math
import pathlib

import numpy
import scipy
from scipy import stats

random = numpy.random.default_rng(20_261_122)


def samples():
    """Pairs of samples by name: without ties and with, small and large, equal and unequal sizes."""
    lognormal = lambda count, mean: numpy.exp(random.normal(mean, 0.1, count)) * 1_000
    yield "five_and_five", lognormal(5, 0.0), lognormal(5, 0.1)
    yield "four_and_seven", lognormal(4, 0.0), lognormal(7, 0.05)
    yield "apart", lognormal(6, 0.0), lognormal(6, 1.0)
    yield "ten_and_ten", lognormal(10, 0.0), lognormal(10, 0.02)
    yield "ties", numpy.array([1, 2, 2, 3, 5.0]), numpy.array([2, 3, 3, 4, 5, 6.0])
    yield "many_ties", numpy.array([1, 1, 1, 2, 2.0]), numpy.array([1, 2, 2, 2, 2.0])
    yield "large", lognormal(40, 0.0), lognormal(50, 0.03)
    yield "large_ties", numpy.round(lognormal(40, 0.0), -2), numpy.round(lognormal(40, 0.05), -2)


EXACT_MAX = 60


def mann_whitney(first, second):
    count = len(first) + len(second)
    has_ties = len(set(first) | set(second)) < count
    if count > EXACT_MAX:
        method = "asymptotic"
    elif has_ties:
        # Every way of dealing the observations: the distribution given the ties.
        method = stats.PermutationMethod(n_resamples=10_000_000)
    else:
        method = "exact"
    p = {side: stats.mannwhitneyu(first, second, alternative=side, method=method).pvalue
         for side in ("less", "greater")}
    return {
        "u": stats.mannwhitneyu(first, second).statistic,
        "p_less": p["less"],
        "p_greater": p["greater"],
        "p": min(1.0, 2 * min(p.values())),
        "is_exact": count <= EXACT_MAX,
    }


def u_below(first, second):
    """The chance of each u or less, for small samples by trying every way of dealing the ranks."""
    ranks = range(first + second)
    counts = {}
    for dealt in itertools.combinations(ranks, first):
        u = sum(dealt) - first * (first - 1) // 2
        counts[u] = counts.get(u, 0) + 1
    return numpy.cumsum([counts[u] for u in sorted(counts)]) / math.comb(first + second, first)


def shift(first, second):
    """Hodges and Lehmann's estimate; the interval holds what scipy's test does not refuse at 2.5 % a side."""
    differences = numpy.sort(numpy.subtract.outer(second, first).ravel())
    if len(first) + len(second) <= 20:
        below = u_below(len(first), len(second))
        cut = max(0, int(numpy.sum(below <= 0.025)) - 1)
        coverage = 1 - 2 * below[cut]
        low, high = differences[cut], differences[-1 - cut]
        # Where differences are tied, a step from one end is a step over several.
        ends = ((low, "greater"), (high, "less")) if len(set(differences)) == len(differences) else ()
        for end, side in ends:
            for step, refused in ((-1e-6, side == "greater"), (1e-6, side == "less")):
                p = stats.mannwhitneyu(second - (end + step * abs(end)), first, alternative=side, method="exact").pvalue
                assert (p <= 0.025) == refused or cut == 0, (end, side, step, p)
    else:
        pairs = len(first) * len(second)
        deviation = math.sqrt(pairs * (len(first) + len(second) + 1) / 12)
        cut = math.floor(pairs / 2 + stats.norm.ppf(0.025) * deviation - 0.5)
        coverage = 1 - 2 * stats.norm.cdf((cut + 0.5 - pairs / 2) / deviation)
        low, high = differences[cut], differences[-1 - cut]
    return {"median": float(numpy.median(differences)), "low": low, "high": high, "coverage": coverage}


def equivalence(first, second, margin):
    first, second, edge = numpy.log(first), numpy.log(second), math.log1p(margin)
    p_low = stats.mannwhitneyu(first, second + edge, alternative="less", method="exact").pvalue
    p_high = stats.mannwhitneyu(first, second - edge, alternative="greater", method="exact").pvalue
    return {"margin": margin, "p_low": p_low, "p_high": p_high, "p": max(p_low, p_high)}


def holm(p):
    """Holm's correction, by its definition: the largest of all steps up to each."""
    ordered = sorted(p)
    steps = [min(1.0, value * (len(p) - at)) for at, value in enumerate(ordered)]
    return [max(steps[: ordered.index(value) + 1]) for value in p]


def shapes(name, sides):
    """Runs as counted values; the distances of the sides' mean curves, and the permutation test over runs."""
    runs = [numpy.sort(numpy.round(run, 1)) for side in sides for run in side]
    second = len(sides[1])
    pooled = lambda chosen: numpy.concatenate(chosen)
    weights = lambda chosen: numpy.concatenate([numpy.full(len(run), 1 / len(run)) for run in chosen])

    def vertical(dealt_first, dealt_second):
        grid = numpy.unique(numpy.concatenate(runs))
        curve = lambda chosen: numpy.mean([numpy.searchsorted(run, grid, side="right") / len(run) for run in chosen], 0)
        return float(numpy.max(numpy.abs(curve(dealt_first) - curve(dealt_second))))

    def statistic(one, other, axis=-1):
        return vertical([runs[int(at)] for at in one], [runs[int(at)] for at in other])

    split = len(runs) - second
    one, other = runs[:split], runs[split:]
    if len(runs) == 2:
        # One run a side is an ordinary two-sample distance, and either way of dealing them gives it.
        distance, p = stats.ks_2samp(one[0], other[0]).statistic, 1.0
    else:
        found = stats.permutation_test(
            (numpy.arange(split), numpy.arange(split, len(runs))), statistic, vectorized=False,
            permutation_type="independent", alternative="greater", n_resamples=numpy.inf)
        distance, p = found.statistic, found.pvalue
    area = stats.wasserstein_distance(pooled(one), pooled(other), weights(one), weights(other))
    return {"name": name, "first": [list(run) for run in one], "second": [list(run) for run in other],
            "vertical": distance, "area": area, "p": p}


def bootstrap(values):
    found = stats.bootstrap((values,), numpy.mean, method="percentile", n_resamples=200_000, random_state=random)
    interval = found.confidence_interval
    return {"series": list(values), "low": interval.low, "high": interval.high}


def signed_rank(first, second):
    """Of pairs: the estimate, and the p of the Wilcoxon test at the ends of the interval's cut."""
    differences = first - second
    walsh = numpy.sort([(a + b) / 2 for at, a in enumerate(differences) for b in differences[at:]])
    count = len(differences)
    sums = numpy.zeros(count * (count + 1) // 2 + 1)
    sums[0] = 1
    for rank in range(1, count + 1):
        sums[rank:] = sums[rank:] + sums[:-rank].copy()
    below = numpy.cumsum(sums) / 2.0 ** count
    cut = int(numpy.sum(below <= 0.025)) - 1
    inside = stats.wilcoxon(differences - walsh[cut] + 1e-9, alternative="greater", method="exact").pvalue
    assert inside <= 0.025, inside
    return {"differences": list(differences), "median": float(numpy.median(walsh)), "low": walsh[cut],
            "high": walsh[-1 - cut], "coverage": 1 - 2 * below[cut]}


def main():
    cases = [{"name": name, "first": list(a), "second": list(b), "mann_whitney": mann_whitney(a, b),
              "shift": shift(a, b)} for name, a, b in samples()]
    tight = numpy.exp(random.normal(0, 0.01, (2, 6))) * 50
    wide = numpy.exp(random.normal(0, 0.01, (2, 8))) * 50
    wide[1] *= 1.03
    fives = [random.lognormal(3, 0.5, 60) for _ in range(5)]
    spread = [random.lognormal(3, 0.9, 60) for _ in range(5)]
    alike = [random.lognormal(3, 0.5, 40 + 10 * at) for at in range(4)]
    p = [[0.01, 0.04, 0.03, 0.2], [0.0079, 0.5, 0.0079, 0.03, 1.0, 0.012]]
    points = [-8.0, -3.0, -1.96, -0.5, 0.0, 0.1, 1.2815515655446004, 4.0]
    fixture = {
        "made_with": {"scipy": scipy.__version__, "numpy": numpy.__version__},
        "two_samples": cases,
        "equivalence": [
            {"first": list(pair[0]), "second": list(pair[1]), **equivalence(pair[0], pair[1], margin)}
            for pair in (tight, wide) for margin in (0.01, 0.05)],
        "holm": [{"p": values, "adjusted": holm(values)} for values in p],
        "normal": [{"z": z, "below": stats.norm.cdf(z), "above": stats.norm.sf(z)} for z in points],
        "shapes": [shapes("spread", (fives, spread)), shapes("alike", (alike[:2], alike[2:])),
                   shapes("single", (fives[:1], spread[:1]))],
        "bootstrap": [bootstrap(random.normal(10, 2, 50)), bootstrap((random.random(191) < 0.05).astype(float))],
        "paired": [signed_rank(random.normal(10, 1, 12), random.normal(9, 1, 12))],
    }
    path = pathlib.Path(__file__).with_name("fixture.json")
    plain = lambda value: value.item() if isinstance(value, numpy.generic) else value
    path.write_text(json.dumps(fixture, indent=1, default=plain) + "\n")


main()
