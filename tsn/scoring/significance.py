"""Whether two results on the same videos differ by more than chance."""


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the two-sided p-value of McNemar's exact test: of the videos that one alone has right.

    1 where there are none.
    """
    from scipy.stats import binomtest  # takes seconds to load

    total = only_first + only_second
    return float(binomtest(only_first, total).pvalue) if total else 1.0
