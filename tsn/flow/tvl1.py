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

Numbers and discretisation are those of OpenCV's DualTVL1 (`optflow/src/tvl1flow.cpp`), but for four
choices. The second and third take a tenth off OpenCV's error (`benchmarks/optical_flow.py`):

* the pyramid goes down to a few pixels, whatever the size of the frames. A level corrects what
  moves by a few of its own pixels. OpenCV's five levels of step 0.8 are too fine for what moves
  more than 8 pixels. The paper's flow is of OpenCV 2.4, whose five levels of step 0.5 recover 20
  pixels of a frame of 340x256. Ours recover them, too, in smaller frames as well, and slow motion
  more exactly;
* the gradient blends that of both frames, as the authors' later version does (Wedel, Pock, Zach,
  Bischof, Cremers, *An improved algorithm for TV-L1 optical flow*, 2009, section 3: beta = 0.4);
* a pixel that the flow takes out of the frame has no data term (OpenCV compares it with black);
* convergence is looked at after every second iteration, which lets both paths run ahead.
"""

from dataclasses import dataclass

import numpy as np

TAU = 0.25  # step of the dual variable
LAMBDA = 0.15  # weight of the data term
THETA = 0.3  # how tightly the two halves of an iteration are coupled
EPSILON = 0.01  # pixels: the change of u, root mean square, that ends a warp
INNER_ITERATIONS = 30
OUTER_ITERATIONS = 10
MEDIAN_SIZE = 5
CHECK_EVERY = 2  # iterations between two looks at the change; the GPU path relies on 2
GRADIENT_BLEND = 0.1  # share of the first frame's gradient

CUBIC_A = -0.75  # the bicubic kernel's parameter, OpenCV's
LEAST_SQUARED_GRADIENT = 1e-10  # below it a pixel says nothing about motion


@dataclass(frozen=True, kw_only=True)
class Pyramid:
    """The levels on which flow is found, and how often each of them warps the second frame.

    A level is `step` times as large as the one before. None but the frames themselves has a side
    below `least_size` pixels, and there are at most `max_levels`; None sets no limit. The frames
    themselves take `finest_warps` warps, every other level `coarser_warps`.
    """

    step: float
    least_size: int
    max_levels: int | None
    finest_warps: int
    coarser_warps: int

    def shapes(self, height: int, width: int) -> list[tuple[int, int]]:
        """Return the (height, width) of every level, the frame's own first."""
        shapes = [(height, width)]
        while len(shapes) != self.max_levels:
            # OpenCV's rounding of a size, half to even
            level = tuple(int(np.rint(side * self.step)) for side in shapes[-1])
            if min(level) < self.least_size:
                break
            shapes.append((level[0], level[1]))
        return shapes

    def warps(self, height: int, width: int) -> list[int]:
        """Return the number of warps of every level, the frame's own first."""
        return [self.finest_warps, *[self.coarser_warps] * (len(self.shapes(height, width)) - 1)]


DEEP = Pyramid(step=0.77, least_size=6, max_levels=None, finest_warps=4, coarser_warps=3)
# The defaults of OpenCV 3 and later, for comparison
OPENCV3 = Pyramid(step=0.8, least_size=16, max_levels=5, finest_warps=5, coarser_warps=5)
