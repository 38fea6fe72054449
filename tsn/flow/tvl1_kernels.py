"""The Triton kernels of TV-L1. A program owns a tile of one pair: axis 0 is tiles, axis 1 pairs.

An iteration computes u once more at the pixels right of its own and below, which the dual variable
wants, instead of waiting for their programs: so it is one launch, reads ten numbers a pixel and
writes six. Every second one adds up the squared change of its pair; the programs of the next read
the sum and go home at once when the pair has converged.

Layout: as in `tsn.flow.tvl1_gpu`. `data` (B, 4, H, W) is Ix, Iy, 1 / (Ix^2 + Iy^2), rho at u = 0;
`change` (B,) int64, squared pixels in units of 2^-24: whole numbers, as their sum does not depend
on the order in which programs end. Names in capitals are known when a kernel is compiled.
"""

import triton
import triton.language as tl


@triton.jit
def _tile(width, TX: tl.constexpr, TY: tl.constexpr):
    """Return the pixels (TY, TX) of this program: x, y."""
    across = tl.cdiv(width, TX)
    tile = tl.program_id(0)
    x = (tile % across) * TX + tl.arange(0, TX)[None, :]
    y = (tile // across) * TY + tl.arange(0, TY)[:, None]
    return x, y


@triton.jit
def _cubic_weights(t, A: tl.constexpr):
    """Return the weights of the four pixels around `t`, which lies between the second and third."""
    far = 1 + t
    near = 1 - t
    first = ((A * far - 5 * A) * far + 8 * A) * far - 4 * A
    second = ((A + 2) * t - (A + 3)) * t * t + 1
    third = ((A + 2) * near - (A + 3)) * near * near + 1
    return first, second, third, 1 - first - second - third


@triton.jit
def _cubic(image, left, top, across, down, width, height, inside):
    """Return a plane's value between the sixteen pixels around (left, top), borders repeated."""
    total = tl.zeros_like(down[0])
    for row in tl.static_range(4):
        y = tl.minimum(tl.maximum(top + (row - 1), 0), height - 1)
        line = tl.zeros_like(total)
        for column in tl.static_range(4):
            x = tl.minimum(tl.maximum(left + (column - 1), 0), width - 1)
            line += across[column] * tl.load(image + y * width + x, mask=inside, other=0.0)
        total += down[row] * line
    return total


@triton.jit
def linearise(
    frame0,
    gradient0,
    linear1,
    u,
    data,
    width,
    height,
    TX: tl.constexpr,
    TY: tl.constexpr,
    BLEND: tl.constexpr,
    A: tl.constexpr,
    LEAST: tl.constexpr,
):
    """Write the data term around `u`, 0 where it leads out of the frame."""
    plane = width * height
    pair = tl.program_id(1).to(tl.int64)
    x, y = _tile(width, TX, TY)
    inside = (x < width) & (y < height)
    at = y * width + x
    u1 = tl.load(u + pair * 2 * plane + at, mask=inside, other=0.0)
    u2 = tl.load(u + pair * 2 * plane + plane + at, mask=inside, other=0.0)
    to_x = x + u1
    to_y = y + u2
    lands = inside & (to_x >= 0) & (to_x <= width - 1) & (to_y >= 0) & (to_y <= height - 1)
    left = tl.floor(to_x)
    top = tl.floor(to_y)
    across = _cubic_weights(to_x - left, A)
    down = _cubic_weights(to_y - top, A)
    left = left.to(tl.int32)
    top = top.to(tl.int32)
    second = linear1 + pair * 3 * plane
    warped1 = _cubic(second, left, top, across, down, width, height, lands)
    warped_x = _cubic(second + plane, left, top, across, down, width, height, lands)
    warped_y = _cubic(second + 2 * plane, left, top, across, down, width, height, lands)
    first = gradient0 + pair * 2 * plane + at
    ix = (1 - BLEND) * warped_x + BLEND * tl.load(first, mask=lands, other=0.0)
    iy = (1 - BLEND) * warped_y + BLEND * tl.load(first + plane, mask=lands, other=0.0)
    squared = ix * ix + iy * iy
    inverse = tl.where(squared > LEAST, 1 / tl.maximum(squared, LEAST), 0.0)
    rho = warped1 - tl.load(frame0 + pair * plane + at, mask=lands, other=0.0) - ix * u1 - iy * u2
    to = data + pair * 4 * plane + at
    tl.store(to, tl.where(lands, ix, 0.0), mask=inside)
    tl.store(to + plane, tl.where(lands, iy, 0.0), mask=inside)
    tl.store(to + 2 * plane, tl.where(lands, inverse, 0.0), mask=inside)
    tl.store(to + 3 * plane, tl.where(lands, rho, 0.0), mask=inside)


@triton.jit
def _divergence(p, at, x, y, inside, width, plane):
    """Return the divergence of one component's dual, whose planes begin at `p`."""
    here = tl.load(p + at, mask=inside, other=0.0) + tl.load(p + plane + at, mask=inside, other=0.0)
    left = tl.load(p + at - 1, mask=inside & (x > 0), other=0.0)
    above = tl.load(p + plane + at - width, mask=inside & (y > 0), other=0.0)
    return here - left - above


@triton.jit
def _improved(u, p, data, x, y, inside, width, plane, THETA: tl.constexpr, REACH: tl.constexpr):
    """Return both components of u after an iteration, and before it."""
    at = y * width + x
    u1 = tl.load(u + at, mask=inside, other=0.0)
    u2 = tl.load(u + plane + at, mask=inside, other=0.0)
    ix = tl.load(data + at, mask=inside, other=0.0)
    iy = tl.load(data + plane + at, mask=inside, other=0.0)
    inverse = tl.load(data + 2 * plane + at, mask=inside, other=0.0)
    rho = tl.load(data + 3 * plane + at, mask=inside, other=0.0)
    along = -(rho + ix * u1 + iy * u2) * inverse
    along = tl.minimum(tl.maximum(along, -REACH), REACH)
    new1 = u1 + along * ix + THETA * _divergence(p, at, x, y, inside, width, plane)
    new2 = u2 + along * iy + THETA * _divergence(p + 2 * plane, at, x, y, inside, width, plane)
    return new1, new2, u1, u2


@triton.jit
def _update_dual(p, to, at, dx, dy, inside, plane, STEP: tl.constexpr):
    """Write one component's dual after an iteration."""
    scale = 1 / (1 + STEP * tl.sqrt(dx * dx + dy * dy))
    px = tl.load(p + at, mask=inside, other=0.0)
    py = tl.load(p + plane + at, mask=inside, other=0.0)
    tl.store(to + at, (px + STEP * dx) * scale, mask=inside)
    tl.store(to + plane + at, (py + STEP * dy) * scale, mask=inside)


@triton.jit(do_not_specialize=["limit"])
def iterate(
    u,
    p,
    to_u,
    to_p,
    data,
    change,
    next_change,
    iterations,
    limit,
    width,
    height,
    TX: tl.constexpr,
    TY: tl.constexpr,
    SECOND: tl.constexpr,
    THETA: tl.constexpr,
    REACH: tl.constexpr,
    STEP: tl.constexpr,
    UNIT: tl.constexpr,
):
    """Improve u and p once, from `u`, `p` to `to_u`, `to_p`, if the pair has not converged.

    The second of two adds its change to `next_change`, which the first has emptied.
    """
    plane = width * height
    pair = tl.program_id(1).to(tl.int64)
    last_change = tl.load(change + pair)
    if last_change > limit:
        u += pair * 2 * plane
        p += pair * 4 * plane
        data += pair * 4 * plane
        to_u += pair * 2 * plane
        to_p += pair * 4 * plane
        x, y = _tile(width, TX, TY)
        at = y * width + x
        inside = (x < width) & (y < height)
        right = (x + 1 < width) & (y < height)
        below = (x < width) & (y + 1 < height)
        new1, new2, u1, u2 = _improved(u, p, data, x, y, inside, width, plane, THETA, REACH)
        right1, right2, _, _ = _improved(u, p, data, x + 1, y, right, width, plane, THETA, REACH)
        below1, below2, _, _ = _improved(u, p, data, x, y + 1, below, width, plane, THETA, REACH)
        tl.store(to_u + at, new1, mask=inside)
        tl.store(to_u + plane + at, new2, mask=inside)
        dx = tl.where(right, right1 - new1, 0.0)
        dy = tl.where(below, below1 - new1, 0.0)
        _update_dual(p, to_p, at, dx, dy, inside, plane, STEP)
        dx = tl.where(right, right2 - new2, 0.0)
        dy = tl.where(below, below2 - new2, 0.0)
        _update_dual(p + 2 * plane, to_p + 2 * plane, at, dx, dy, inside, plane, STEP)
        if SECOND:
            moved = (new1 - u1) * (new1 - u1) + (new2 - u2) * (new2 - u2)
            moved = tl.sum(tl.where(inside, moved, 0.0))
            tl.atomic_add(next_change + pair, (moved * UNIT).to(tl.int64), sem="relaxed")
            if tl.program_id(0) == 0:
                tl.store(iterations + pair, tl.load(iterations + pair) + 2)
        elif tl.program_id(0) == 0:
            tl.store(next_change + pair, tl.zeros_like(last_change))
    elif SECOND:
        tl.store(next_change + pair, last_change)


@triton.jit
def _exchange(values, i: tl.constexpr, j: tl.constexpr):
    """Return the tuple with its smaller of `i` and `j` first."""
    low = tl.minimum(values[i], values[j])
    high = tl.maximum(values[i], values[j])
    return values[:i] + (low,) + values[i + 1 : j] + (high,) + values[j + 1 :]


@triton.jit
def _without_extremes(values):
    """Return the tuple without its smallest and its largest value."""
    last: tl.constexpr = len(values) - 1
    for i in tl.static_range(1, last + 1):
        values = _exchange(values, 0, i)
    for i in tl.static_range(1, last):
        values = _exchange(values, i, last)
    return values[1:last]


@triton.jit(do_not_specialize=["limit"])
def median(
    u,
    to_u,
    change,
    limit,
    width,
    height,
    TX: tl.constexpr,
    TY: tl.constexpr,
):
    """Filter the flow of every pair that has not converged."""
    plane = width * height
    pair = tl.program_id(1).to(tl.int64)
    if tl.load(change + pair) > limit:
        x, y = _tile(width, TX, TY)
        inside = (x < width) & (y < height)
        for component in tl.static_range(2):
            begin = (pair * 2 + component) * plane
            values = ()
            for i in tl.static_range(25):
                near_x = tl.minimum(tl.maximum(x + (i % 5 - 2), 0), width - 1)
                near_y = tl.minimum(tl.maximum(y + (i // 5 - 2), 0), height - 1)
                values = values + (tl.load(u + begin + near_y * width + near_x, mask=inside),)
            # Of 14 values neither the smallest nor the largest can be the median of all 25.
            kept = values[:14]
            for i in tl.static_range(14, 25):
                kept = _without_extremes(kept) + (values[i],)
            kept = _without_extremes(kept)
            tl.store(to_u + begin + y * width + x, kept[0], mask=inside)
