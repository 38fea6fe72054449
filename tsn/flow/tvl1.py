"""TV-L1 optical flow: the algorithm, for the two paths that compute it.

The flow u of Zach, Pock and Bischof (*A duality based approach for realtime TV-L1 optical flow*,
DAGM 2007) minimises  sum |grad u1| + |grad u2| + lambda |I1(x + u) - I0(x)|.  From the coarsest
level of a pyramid to the finest, the second frame is warped by the flow so far and the residual

    rho(u) = I1(x + u0) - I0(x) + (Ix, Iy) . (u - u0)      u0 the flow so far, (Ix, Iy) the gradient

made linear; then u and its dual variable p are improved in turn, pixel by pixel:

    u <- u + clamp(-rho / (Ix^2 + Iy^2), +- lambda theta) (Ix, Iy) + theta div p
    p <- (p + tau/theta grad u) / (1 + tau/theta |grad u|)

until the mean squared change of u is at most epsilon^2. A 5 x 5 median filters u before the first
iteration of every warp and after every INNER_ITERATIONS that did not end it.

Numbers and discretisation are those of OpenCV's DualTVL1 (`optflow/src/tvl1flow.cpp`) but for three
choices. The first two take a tenth off OpenCV's error (`benchmarks/optical_flow.py`):

* the gradient blends that of both frames, as the authors' later version does (Wedel, Pock, Zach,
  Bischof, Cremers, *An improved algorithm for TV-L1 optical flow*, 2009, section 3: beta = 0.4);
* a pixel that the flow takes out of the frame has no data term (OpenCV compares it with black);
* convergence is looked at after every second iteration, which lets both paths run ahead.
"""

import numpy as np

TAU = 0.25  # step of the dual variable
LAMBDA = 0.15  # weight of the data term
THETA = 0.3  # how tightly the two halves of an iteration are coupled
NUM_SCALES = 5
SCALE_STEP = 0.8
NUM_WARPS = 5
EPSILON = 0.01  # pixels: the change of u, root mean square, that ends a warp
INNER_ITERATIONS = 30
OUTER_ITERATIONS = 10
MEDIAN_SIZE = 5
CHECK_EVERY = 2  # iterations between two looks at the change; the GPU path relies on 2
GRADIENT_BLEND = 0.1  # share of the first frame's gradient

LEAST_SIZE = 16  # pixels: no level of the pyramid is smaller, but for the frame itself
CUBIC_A = -0.75  # the bicubic kernel's parameter, OpenCV's
LEAST_SQUARED_GRADIENT = 1e-10  # below it a pixel says nothing about motion


def pyramid_shapes(height: int, width: int) -> list[tuple[int, int]]:
    """Return the (height, width) of every level, the frame's own first."""
    shapes = [(height, width)]
    while len(shapes) < NUM_SCALES:
        # OpenCV's rounding of a size, half to even
        level = tuple(int(np.rint(side * SCALE_STEP)) for side in shapes[-1])
        if min(level) < LEAST_SIZE:
            break
        shapes.append((level[0], level[1]))
    return shapes
