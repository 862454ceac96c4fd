"""The gradient of a slow reference, to the last digit and without a framework: the complex step.

f(x + ih) = f(x) + ih f'(x) + O(h^2), so that the imaginary part over h is f' with no difference taken
(Squire & Trapp 1998). The function must be made of analytic steps: no abs, no conjugate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

STEP = 1e-30


def complex_step(
    function: Callable[..., complex], inputs: Sequence[np.ndarray]
) -> tuple[float, tuple[np.ndarray, ...]]:
    """The value of `function` at real arrays, and its gradient to each of them."""
    point = [array.astype(complex) for array in inputs]
    gradients = tuple(np.zeros(array.shape) for array in inputs)
    for array, gradient in zip(point, gradients, strict=True):
        for entry in np.ndindex(array.shape):
            real = array[entry]
            array[entry] = real + 1j * STEP
            gradient[entry] = np.imag(function(*point)) / STEP
            array[entry] = real
    return float(np.real(function(*point))), gradients
