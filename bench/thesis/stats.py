# SPDX-License-Identifier: MIT
"""The numbers of a row."""
import math
import statistics


def percentile(values, p):
    """The nearest rank: the smallest value that at least p percent of the values do not exceed. Of 20 values, the 99th
    percentile is the largest."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * p / 100) - 1)]


def summary(values):
    """n, mean, standard deviation (of a sample: n - 1; None for one value), median and p99 of a list that is not empty."""
    return {"n": len(values), "mean": statistics.fmean(values),
            "sd": statistics.stdev(values) if len(values) > 1 else None,
            "median": statistics.median(values), "p99": percentile(values, 99)}


def medians(dicts):
    """The median of every key of a list of {key: number}; a key that one of them lacks counts as 0 there."""
    keys = list(dict.fromkeys(key for d in dicts for key in d))
    return {key: statistics.median(d.get(key, 0.0) for d in dicts) for key in keys}
