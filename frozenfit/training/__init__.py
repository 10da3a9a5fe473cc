"""How a delta is trained: the networks compiled once, the data, the epochs.

Nothing here knows scikit-learn's contract; the estimators bring arrays and take deltas away.
"""
