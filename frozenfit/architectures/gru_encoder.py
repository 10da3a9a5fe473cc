"""A recurrent network for sentences (Cho et al. 2014)."""

from __future__ import annotations

import keras
from keras import layers

from frozenfit.architectures import parts
from frozenfit.architectures.registry import register

__all__ = ["gru_encoder"]


@register("gru_encoder")
def gru_encoder(
    input_shape: tuple[int, ...],
    n_outputs: int,
    *,
    max_tokens: int = 10000,
    embedding_dim: int = 128,
    units: int = 128,
    dropout: float = 0,
) -> keras.Model:
    """Build a recurrent network for sentences, which reads them from left to right.

    Layers: ``embedding``, ``gru``, ``dropout``, ``head``. The head sees the state after the last
    token, as the decoder does in Cho et al. 2014 (arXiv 1406.1078), who proposed the gated
    recurrent unit for encoding a sentence.

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
    units : int, default=128
        Units of the recurrent layer.
    dropout : float, default=0
        Fraction of the units of the last state dropped in training, in [0, 1).

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
    The id 0 is padding, and masked: the state does not change there. The output therefore does not
    depend on the length to which a text is padded.

    Examples
    --------
    >>> gru_encoder((20,), 6, max_tokens=1000).count_params()
    227846
    """
    parts.check_dropout("gru_encoder", dropout)
    count = parts.check_size("gru_encoder", "units", units)
    inputs, x = parts.embed_tokens(
        "gru_encoder", input_shape, max_tokens, embedding_dim, mask_zero=True
    )
    x = layers.GRU(count, name="gru")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    return keras.Model(inputs, parts.head(x, n_outputs, "glorot_uniform"), name="gru_encoder")
