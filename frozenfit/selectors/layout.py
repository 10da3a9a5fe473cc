"""Description of a network for selectors: its weights, its layers and its heads."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property

from frozenfit.utils.names import did_you_mean

from .weight_info import WeightInfo

_CONVOLUTIONS = ("Conv", "DepthwiseConv", "SeparableConv")


@dataclass(frozen=True)
class Layout:
    """The trainable weights of a network, its layers in data-flow order, and its heads.

    Parameters
    ----------
    weights : tuple of WeightInfo
        The trainable weights, in the order of ``model.trainable_variables``.
    layers : tuple of str
        The layers with trainable weights, in data-flow order.
    heads : tuple of str
        The last layers with a kernel before each output.
    frozen : tuple of WeightInfo, default=()
        Weights of layers with ``trainable=False``. No selector can choose them; they are counted
        among the frozen parameters.

    Raises
    ------
    ValueError
        If two weights have the same path.

    See Also
    --------
    frozenfit.layout.describe : The layout of a Keras model.
    example_layout : The layout of a small network, to try a selector without a backend.

    Examples
    --------
    >>> from frozenfit.selectors import example_layout
    >>> layout = example_layout("lenet5")
    >>> layout.layers
    ('conv1', 'conv2', 'dense1', 'dense2', 'head')
    >>> layout["conv1/kernel"].shape, layout.convolutional, layout.heads
    ((5, 5, 1, 6), True, ('head',))
    """

    weights: tuple[WeightInfo, ...]
    layers: tuple[str, ...]
    heads: tuple[str, ...]
    frozen: tuple[WeightInfo, ...] = ()

    def __post_init__(self) -> None:
        """Check that paths are unique."""
        # Masks, deltas and files refer to a weight by its path alone.
        if len(self._by_path) != len(self.weights):
            paths = [info.path for info in self.weights]
            twice = next(path for path in paths if paths.count(path) > 1)
            raise ValueError(f"The paths of `weights` must be unique, got {twice!r} twice.")

    @cached_property
    def _by_path(self) -> dict[str, WeightInfo]:
        return {info.path: info for info in self.weights}

    def __getitem__(self, path: str) -> WeightInfo:
        """Return the weight with this path, or raise a KeyError that lists similar paths."""
        try:
            return self._by_path[path]
        except KeyError:
            raise KeyError(
                f"No weight has the path {path!r}. {did_you_mean(path, self.paths)}"
            ) from None

    def __contains__(self, path: object) -> bool:
        """Return whether a weight has this path."""
        return path in self._by_path

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of all weights, in order."""
        return tuple(self._by_path)

    @cached_property
    def convolutions(self) -> frozenset[str]:
        """The layers that are convolutions with a sliding window and separate filters."""
        return frozenset(
            info.layer
            for info in self.weights
            if info.spatial_axes and info.layer_type.startswith(_CONVOLUTIONS)
        )

    @property
    def convolutional(self) -> bool:
        """Whether any layer is a convolution."""
        return bool(self.convolutions)

    def in_head(self, info: WeightInfo) -> bool:
        """Return whether a weight belongs to a head or to a layer inside a head.

        Parameters
        ----------
        info : WeightInfo
            A weight of the layout.

        Returns
        -------
        bool
            Whether its layer is one of `heads`, or is inside one of them.

        See Also
        --------
        head : Select the head.

        Examples
        --------
        >>> from frozenfit.selectors import example_layout
        >>> layout = example_layout()
        >>> [info.path for info in layout.weights if layout.in_head(info)]
        ['head/kernel', 'head/bias']
        """
        # The weights of a composite head, such as an attention layer, are in layers inside it.
        return any(info.layer == head or info.layer.startswith(f"{head}/") for head in self.heads)

    def positions(self, name: str) -> tuple[int, ...]:
        """Return the positions in `layers` of the layer with this name.

        Parameters
        ----------
        name : str
            The path of a layer or of an enclosing layer, or the last component of a path.

        Returns
        -------
        tuple of int
            In increasing order; a composite layer has several positions.

        Raises
        ------
        ValueError
            If no layer has the name.

        See Also
        --------
        between : Select layers by position.

        Examples
        --------
        >>> from frozenfit.selectors import example_layout
        >>> example_layout().positions("dense1")
        (2,)
        """
        found = tuple(
            position
            for position, layer in enumerate(self.layers)
            if layer == name or layer.startswith(f"{name}/") or layer.endswith(f"/{name}")
        )
        if not found:
            self._refuse_frozen(name)
            raise ValueError(f"No layer is named {name!r}. {did_you_mean(name, self.layers)}")
        return found

    def match(self, glob: str) -> frozenset[str]:
        """Return the weights that match a glob, by their own path or by that of a layer.

        Parameters
        ----------
        glob : str
            A pattern of `fnmatch`, in which ``*`` also matches ``/``. It is compared with the path
            of each weight, and with the paths of the layer that owns it and of every enclosing
            layer. Where none of them matches, it is compared with these paths inside each
            enclosing layer, so that the name of a layer in a nested model is enough.

        Returns
        -------
        frozenset of str
            Paths of weights.

        Raises
        ------
        ValueError
            If the glob matches no weight and no layer.

        See Also
        --------
        layers : Select the weights that match globs.

        Examples
        --------
        >>> from frozenfit.selectors import example_layout
        >>> sorted(example_layout().match("conv*/kernel"))
        ['conv1/kernel', 'conv2/kernel']
        """
        # fnmatch would ignore case on Windows, and a stored selector must choose the same weights
        # on every machine.
        for names in (_names, _names_inside):
            found = frozenset(
                info.path
                for info in self.weights
                if any(fnmatchcase(name, glob) for name in names(info))
            )
            if found:
                break
        else:
            self._refuse_frozen(glob)
            plain = glob.replace("*", "").replace("?", "")
            raise ValueError(
                f"{glob!r} matches no weight and no layer. "
                f"{did_you_mean(plain, [*self.layers, *self.paths])}"
            )
        return found

    def _refuse_frozen(self, glob: str) -> None:
        """Raise a ValueError where a name or glob matches weights with ``trainable=False``."""
        for info in self.frozen:
            if any(fnmatchcase(name, glob) for name in (*_names(info), *_names_inside(info))):
                raise ValueError(
                    f"{glob!r} is frozen by trainable=False in the model, so that no selector can "
                    "choose it. Set trainable=True on its layers before the model is passed."
                )


def _names(info: WeightInfo) -> list[str]:
    """Return the path of a weight and of every enclosing layer."""
    parts = info.layer.split("/")
    return [info.path, *("/".join(parts[: end + 1]) for end in range(len(parts)))]


def _names_inside(info: WeightInfo) -> list[str]:
    """Return the same paths as seen from inside each of the enclosing layers."""
    layers, weight = info.layer.split("/"), info.path.split("/")
    starts = range(1, len(layers))
    ends = range(2, len(layers) + 1)
    return [
        *("/".join(weight[start:]) for start in starts),
        *("/".join(layers[start:end]) for end in ends for start in starts if start < end),
    ]
