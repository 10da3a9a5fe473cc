"""A convolutional network for sentences (Kim 2014)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from frozenfit.architectures import parts
from frozenfit.architectures.registry import register

__all__ = ["text_cnn"]


@register("text_cnn")
def text_cnn(
    input_shape: tuple[int, ...],
    n_outputs: int,
    *,
    max_tokens: int = 10000,
    embedding_dim: int = 128,
    filters: int = 100,
    kernel_sizes: Sequence[int] = (3, 4, 5),
    dropout: float = 0.5,
) -> keras.Model:
    """Build a network for sentences: convolutions of several widths, pooled over time.

    Layers: ``embedding``; for each width ``conv3``, ``conv3_activation``, ``conv3_pool``;
    ``concatenate``, ``dropout``, ``head``. It is the network CNN-rand of Kim 2014
    (arXiv 1408.5882), without the limit on the norm of the head's kernel. The default embedding is
    smaller than the 300 dimensions of the paper, which were those of pretrained vectors.

    Parameters
    ----------
    input_shape : tuple of int
        ``(length,)``: a sample is a row of token ids, as `frozenfit.TokenEncoder` returns.
    n_outputs : int
        Number of outputs.
    max_tokens : int, default=10000
        Number of rows of the embedding. Ids are integers from 0 to ``max_tokens - 1``.
    embedding_dim : int, default=128
        Dimensions of the embedding.
    filters : int, default=100
        Filters of each width.
    kernel_sizes : sequence of int, default=(3, 4, 5)
        Different widths of the convolutions, in tokens.
    dropout : float, default=0.5
        Fraction of the pooled features dropped in training, in [0, 1).

    Returns
    -------
    keras.Model
        Logits of shape ``(batch, n_outputs)``.

    Raises
    ------
    ValueError
        If the input is not a row of tokens, or a parameter is out of range.

    Notes
    -----
    Padding is not masked. The paper pads sentences with a vector of zeros; here the padding id has
    a vector like every other id, so that windows of padding add the same constant to the maximum
    over time of every sentence. Texts shorter than the widest kernel are padded by the convolution.

    Examples
    --------
    >>> text_cnn((20,), 6, max_tokens=1000).count_params()
    283706
    """
    parts.check_dropout("text_cnn", dropout)
    sizes = _checked_sizes(kernel_sizes)
    count = parts.check_size("text_cnn", "filters", filters)
    inputs, x = parts.embed_tokens("text_cnn", input_shape, max_tokens, embedding_dim)
    pooled = []
    for size in sizes:
        name = f"conv{size}"
        # Kim pads with size - 1 zeros on both sides; "same" gives short texts a window as well.
        maps: Any = layers.Conv1D(count, size, padding="same", name=name)(x)
        maps = parts.activate(maps, f"{name}_activation")
        pooled.append(layers.GlobalMaxPooling1D(name=f"{name}_pool")(maps))
    x = layers.Concatenate(name="concatenate")(pooled) if len(pooled) > 1 else pooled[0]
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    return keras.Model(inputs, parts.head(x, n_outputs, "glorot_uniform"), name="text_cnn")


def _checked_sizes(sizes: Any) -> list[int]:
    try:
        checked = [parts.check_size("text_cnn", "kernel_sizes", size) for size in sizes]
    except (TypeError, ValueError):
        checked = []
    if not checked or len(set(checked)) < len(checked):
        raise ValueError(
            "`kernel_sizes` of text_cnn must be a sequence of distinct integers >= 1 such as "
            f"(3, 4, 5), got {sizes!r}."
        )
    return checked
