"""The selector of scales of kernels, which are trained in place of their entries."""

from __future__ import annotations

from dataclasses import dataclass

from .arguments import call, check_int
from .context import Context
from .forms import Form
from .layout import Layout
from .registry import register
from .scale_form import Scales
from .selector import Selector
from .weight_info import WeightInfo


@dataclass(frozen=True, eq=False, repr=False)
class _Scales(Selector):
    """Scales of the inputs and outputs of every kernel."""

    inputs: bool
    outputs: bool
    signs: int | None

    def forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        kernels = [info for info in layout.weights if info.role == "kernel"]
        order = {layer: position for position, layer in enumerate(layout.layers)}
        first = min(kernels, key=lambda info: order[info.layer], default=None)
        return {info.path: self._form(info, info is first) for info in kernels}

    def _form(self, info: WeightInfo, is_first: bool) -> Form:
        inputs = tuple(sorted(info.input_axes)) if self.inputs else ()
        outputs = tuple(sorted(info.output_axes)) if self.outputs else ()
        return Scales(inputs, outputs, self.signs if is_first and inputs else None)

    def text(self) -> str:
        # Arguments that have their default are left out.
        inputs, outputs = (None if each else False for each in (self.inputs, self.outputs))
        return call("scales", inputs=inputs, outputs=outputs, signs=self.signs)


@register("scales")
def scales(inputs: bool = True, outputs: bool = True, signs: int | None = None) -> Selector:
    """Train a scale for each input and output of every kernel, in place of its entries.

    A layer computes its product with the frozen kernel from inputs that are multiplied by
    trainable scales, and its outputs are multiplied by further ones. These are rank-one adapters:
    the kernel is multiplied entry by entry with the outer product of the scales, into which they
    are folded when the network is exported. They start at 1, so that training starts from the
    frozen network.

    Parameters
    ----------
    inputs : bool, default=True
        Whether the inputs of each kernel are scaled: the columns of its input, the channels of a
        convolution. A convolution with groups has one scale for the same channel of all groups.
    outputs : bool, default=True
        Whether the outputs are scaled: units, filters; of a recurrent layer the units of each
        gate.
    signs : int, default=None
        Seed of random signs, at which the scales of the inputs of the first kernel start. The
        members of an ensemble then see different inputs from the beginning, as in BatchEnsemble.
        None starts them at 1.

    Returns
    -------
    Selector
        The selector.

    Raises
    ------
    ValueError
        If neither side is scaled, `signs` is negative or given without scales of inputs or, when
        the selector is resolved, it is combined with a part of a kernel, such as ``filters(0.1)``.
    TypeError
        If an argument has another type.

    See Also
    --------
    biases : Select the biases, as BitFit does.
    kernels : Select the entries of the kernels themselves.

    Notes
    -----
    *Set operations.* A kernel that is trained as a whole needs no scales: in
    ``scales() | head()`` the kernel of the head has none. Scales select no entries of a kernel, so
    that ``~scales()`` and a union with a part of the same kernel are errors.

    *Small kernels.* A kernel that has no more entries than scales, such as one with a single
    output, is trained as a whole.

    *Constraints.* A kernel with a constraint cannot be scaled.

    References
    ----------
    Wen, Tran & Ba 2020, "BatchEnsemble: an alternative approach to efficient ensemble and lifelong
    learning", arXiv 2002.06715.

    Liu et al. 2022, "Few-shot parameter-efficient fine-tuning is better and cheaper than in-context
    learning", arXiv 2205.05638: IA3, ``scales(inputs=False)`` in some layers.

    Gorishniy, Kotelnikov & Babenko 2025, "TabM: advancing tabular deep learning with
    parameter-efficient ensembling", arXiv 2410.24210.

    Examples
    --------
    >>> from frozenfit.selectors import biases, example_layout, head, scales
    >>> print((scales() | biases() | head()).resolve(example_layout("lenet5")))
    weight         shape          form                                  trainable   total
    conv1/kernel   (5, 5, 1, 6)   scales of 1 inputs and 6 outputs              7     150
    conv1/bias     (6,)           all                                           6       6
    conv2/kernel   (5, 5, 6, 16)  scales of 6 inputs and 16 outputs            22   2,400
    conv2/bias     (16,)          all                                          16      16
    dense1/kernel  (256, 120)     scales of 256 inputs and 120 outputs        376  30,720
    dense1/bias    (120,)         all                                         120     120
    dense2/kernel  (120, 84)      scales of 120 inputs and 84 outputs         204  10,080
    dense2/bias    (84,)          all                                          84      84
    head/kernel    (84, 10)       all                                         840     840
    head/bias      (10,)          all                                          10      10
    sum                           3.79%                                     1,685  44,426
    """
    for name, value in (("inputs", inputs), ("outputs", outputs)):
        if not isinstance(value, bool):
            raise TypeError(f"`{name}` of `scales` must be a bool, got {value!r}.")
    if not (inputs or outputs):
        raise ValueError(
            "`scales` must scale inputs or outputs, got inputs=False and outputs=False. "
            "Use nothing() to select no parameters."
        )
    if signs is not None:
        signs = check_int("scales", "signs", signs, 0)
        if not inputs:
            raise ValueError(
                f"`signs` of `scales` are those of inputs, got signs={signs} with inputs=False. "
                "Use inputs=True, or signs=None."
            )
    return _Scales(inputs, outputs, signs)
