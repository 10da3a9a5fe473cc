"""Networks with frozen random hidden layers and a closed-form output, in NumPy and SciPy.

The estimators in ``frozenfit.estimators`` stand on this package: `config` says what is to be made,
`images`, `scaling`, `weights` and `hidden` make the frozen part, `sample` and `ridge` hold what was
seen of the data, `memory` puts them together and `head` is what is trained.
"""
