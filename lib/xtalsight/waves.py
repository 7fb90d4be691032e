"""A crystal's Bragg waves: found in a ball of atoms, compared between balls, and asked which atoms ride them.

The density of a crystal is a sum of plane waves. In a ball of atoms around the origin, with weights w_j that fall to
zero at its surface, w = 1 - r^2 / R^2, the amplitude of the wave with the Bragg vector g is

    F(g) = sum_j w_j exp(2 pi i g.r_j) / sum_j w_j,

and its maxima are the crystal's waves. Vacancies leave them as they are; heat lowers them, by Debye and Waller. An atom
at r rides the waves by

    c(r) = sum_k |F_k| cos(2 pi g_k.r - phi_k) / sum_k |F_k|,

which is near to 1 in a place of the crystal, and 0 on average elsewhere. Where a crystal is strained or hot, vectors
and phases change slowly from place to place: each ball has its own.
"""

import numba
import numpy as np

N_WAVES = 24
"""Waves that are kept of a ball, the strongest; g and -g are one."""

SMALLEST_BALL = 24
"""Number of atoms below which a ball has no waves."""

SHORTEST, LONGEST = 0.5, 2.1
"""Lengths between which Bragg vectors are looked for, in units of one over the distance of neighbours. The first of bcc
and fcc is at 1.22, that of diamond at 0.75."""

_STEP = 0.42  # of the grid, times one over the radius of the ball, whose peaks are 0.57 wide at half of their height
_NOISE = 8.0  # of |sum w e|^2 / sum w^2, which is 1 on average without order; e^-8 of the places are above by chance
_KEPT = np.float32(1.05)  # refined peaks may leave the range by this factor

# Reassociation lets LLVM vectorise the loops over the atoms; infinities and NaN do not occur (input is checked before).
_compiled = numba.njit(fastmath=True, error_model="numpy", cache=True, nogil=True)
# What these call becomes a part of them: a function of its own is optimised once alone and once with its caller, and
# which of the two runs, and so the last digit, would depend on whether the caller has just been compiled or was read
# from a file.
_part = numba.njit(fastmath=True, error_model="numpy", inline="always")
_exact = numba.njit(error_model="numpy", cache=True, nogil=True)


@_part
def _intensity(points, weights, step, n, shortest, longest):
    """|sum w e|^2 / sum w^2 on the grid (n + 2, 2 n + 1, 2 n + 1) of vectors step (i, j, k), i from -1: half of space
    and a margin."""
    n_atoms = points.shape[1]
    result = np.zeros((n + 2, 2 * n + 1, 2 * n + 1), np.float32)
    real, imag = np.empty((3, n + 1, n_atoms), np.float32), np.empty((3, n + 1, n_atoms), np.float32)
    norm = np.float32(0)
    for j in range(n_atoms):
        norm += weights[j] * weights[j]
    for axis in range(3):
        for j in range(n_atoms):
            phase = np.float32(2 * np.pi) * np.float32(step) * points[axis, j]
            c, s = np.cos(phase), np.sin(phase)
            real[axis, 0, j], imag[axis, 0, j] = 1, 0
            for i in range(1, n + 1):
                real[axis, i, j] = real[axis, i - 1, j] * c - imag[axis, i - 1, j] * s
                imag[axis, i, j] = real[axis, i - 1, j] * s + imag[axis, i - 1, j] * c
    re, im = np.empty(n_atoms, np.float32), np.empty(n_atoms, np.float32)
    step_re, step_im = real[2, 1], imag[2, 1]
    limit, least = (longest / step) ** 2, (shortest / step) ** 2
    for ix in range(-1, n + 1):
        x_re, x_im, x_sign = real[0, abs(ix)], imag[0, abs(ix)], np.float32(-1 if ix < 0 else 1)
        for iy in range(-n, n + 1):
            across = ix * ix + iy * iy
            if across > limit:
                continue
            m = int(np.sqrt(limit - across))
            y_re, y_im, y_sign = real[1, abs(iy)], imag[1, abs(iy)], np.float32(-1 if iy < 0 else 1)
            z_re, z_im = real[2, m], imag[2, m]
            for j in range(n_atoms):  # at iz = -m
                a = weights[j] * (x_re[j] * y_re[j] - x_sign * y_sign * x_im[j] * y_im[j])
                b = weights[j] * (y_sign * x_re[j] * y_im[j] + x_sign * x_im[j] * y_re[j])
                re[j], im[j] = a * z_re[j] + b * z_im[j], b * z_re[j] - a * z_im[j]
            for iz in range(-m, m + 1):
                total_re, total_im = np.float32(0), np.float32(0)
                for j in range(n_atoms):
                    a, b = re[j], im[j]
                    total_re += a
                    total_im += b
                    re[j], im[j] = a * step_re[j] - b * step_im[j], a * step_im[j] + b * step_re[j]
                if across + iz * iz >= least:
                    result[ix + 1, iy + n, iz + n] = (total_re * total_re + total_im * total_im) / norm
    return result


@_part
def _local_maxima(intensity, threshold):
    """Grid vectors (m, 3) of the local maxima above a threshold in half of space, and their values."""
    n = intensity.shape[1] // 2
    vectors, values, found = np.empty((256, 3), np.int64), np.empty(256), 0
    for i in range(1, intensity.shape[0] - 1):
        for j in range(1, 2 * n):
            for k in range(1, 2 * n):
                value = intensity[i, j, k]
                if value < threshold or (i == 1 and (j < n or (j == n and k < n))):
                    continue
                highest = True
                for a in range(-1, 2):
                    for b in range(-1, 2):
                        for c in range(-1, 2):
                            if intensity[i + a, j + b, k + c] > value:
                                highest = False
                if highest:
                    at = found
                    if found < len(values):
                        found += 1
                    else:  # it takes the place of the lowest
                        at = values.argmin()
                        if value <= values[at]:
                            continue
                    vectors[at, 0], vectors[at, 1], vectors[at, 2] = i - 1, j - n, k - n
                    values[at] = value
    return vectors[:found], values[:found]


@_part
def _ascend(points, weights, gx, gy, gz, largest_step, n_steps):
    """Newton's ascent of |sum w e|^2 from a vector: vector, then real and imaginary part of the sum."""
    x, y, z = points[0], points[1], points[2]
    c, s = np.empty(len(x), np.float32), np.empty(len(x), np.float32)
    for step in range(n_steps + 1):
        re, im = np.float32(0), np.float32(0)
        fx, fy, fz = np.float32(gx), np.float32(gy), np.float32(gz)
        for j in range(len(x)):
            phase = fx * x[j] + fy * y[j] + fz * z[j]
            phase = np.float32(2 * np.pi) * (phase - np.rint(phase))
            c[j], s[j] = weights[j] * np.cos(phase), weights[j] * np.sin(phase)
            re += c[j]
            im += s[j]
        if step == n_steps:
            break
        cx = cy = cz = sx = sy = sz = np.float32(0)
        xx = yy = zz = xy = xz = yz = np.float32(0)
        for j in range(len(x)):
            cx += c[j] * x[j]
            cy += c[j] * y[j]
            cz += c[j] * z[j]
            sx += s[j] * x[j]
            sy += s[j] * y[j]
            sz += s[j] * z[j]
            along = re * c[j] + im * s[j]
            xx += along * x[j] * x[j]
            yy += along * y[j] * y[j]
            zz += along * z[j] * z[j]
            xy += along * x[j] * y[j]
            xz += along * x[j] * z[j]
            yz += along * y[j] * z[j]
        # Gradient over 4 pi and minus the Hessian over 8 pi^2; of a symmetric matrix, the inverse by cofactors.
        ga, gb, gc = im * cx - re * sx, im * cy - re * sy, im * cz - re * sz
        xx, yy, zz = xx - sx * sx - cx * cx, yy - sy * sy - cy * cy, zz - sz * sz - cz * cz
        xy, xz, yz = xy - sx * sy - cx * cy, xz - sx * sz - cx * cz, yz - sy * sz - cy * cz
        minor = xx * yy - xy * xy
        c11, c12, c13 = yy * zz - yz * yz, xz * yz - xy * zz, xy * yz - xz * yy
        c22, c23 = xx * zz - xz * xz, xy * xz - xx * yz
        determinant = xx * c11 + xy * c12 + xz * c13
        if xx > 0 and minor > 0 and determinant > 0:
            scale = np.float32(1 / (2 * np.pi)) / determinant
            ux, uy = scale * (c11 * ga + c12 * gb + c13 * gc), scale * (c12 * ga + c22 * gb + c23 * gc)
            uz = scale * (c13 * ga + c23 * gb + minor * gc)
        else:  # not near enough to the top: uphill
            scale = 0.5 * largest_step / (np.sqrt(ga * ga + gb * gb + gc * gc) + np.float32(1e-30))
            ux, uy, uz = scale * ga, scale * gb, scale * gc
        length = np.sqrt(ux * ux + uy * uy + uz * uz)
        scale = min(1.0, largest_step / (length + np.float32(1e-30)))
        gx += scale * ux
        gy += scale * uy
        gz += scale * uz
    return gx, gy, gz, re, im


@_part
def _find(points, weights, radius, nearest, vectors, amplitudes):
    """`find_waves` into arrays (N_WAVES, 3) and (N_WAVES, 2); return their number. Points are (3, n)."""
    step = _STEP / radius
    shortest, longest = SHORTEST / nearest, LONGEST / nearest
    n = int(np.ceil(longest / step)) + 1
    places, values = _local_maxima(_intensity(points, weights, step, n, shortest, longest), _NOISE)
    order = np.argsort(-values, kind="mergesort")[: 2 * N_WAVES]
    total, norm = 0.0, 0.0
    for weight in weights:
        total += weight
        norm += weight * weight
    found, squares, n_found = np.empty((2 * N_WAVES, 5)), np.empty(2 * N_WAVES), 0
    for i in order:
        gx, gy, gz, re, im = _ascend(
            points, weights, step * places[i, 0], step * places[i, 1], step * places[i, 2], step, 3
        )
        length, square = np.sqrt(gx * gx + gy * gy + gz * gz), re * re + im * im
        if square < _NOISE * norm or length < shortest or length > _KEPT * longest:
            continue
        known = False
        for k in range(n_found):
            same = (gx - found[k, 0]) ** 2 + (gy - found[k, 1]) ** 2 + (gz - found[k, 2]) ** 2
            opposite = (gx + found[k, 0]) ** 2 + (gy + found[k, 1]) ** 2 + (gz + found[k, 2]) ** 2
            known = known or min(same, opposite) < (0.5 * step) ** 2
        if not known:
            found[n_found, 0], found[n_found, 1], found[n_found, 2] = gx, gy, gz
            found[n_found, 3], found[n_found, 4] = re / total, im / total
            squares[n_found] = square
            n_found += 1
    order = np.argsort(-squares[:n_found], kind="mergesort")[:N_WAVES]
    for i in range(len(order)):
        vectors[i], amplitudes[i] = found[order[i], :3], found[order[i], 3:]
    return len(order)


@_compiled
def _find_alone(points, weights, radius, nearest, vectors, amplitudes):
    return _find(points, weights, radius, nearest, vectors, amplitudes)


def find_waves(positions: np.ndarray, radius: float, nearest: float) -> tuple[np.ndarray, np.ndarray]:
    """Find the strongest Bragg waves of a ball of atoms.

    Maxima of |F(g)| on a grid, each climbed by Newton's method; see the module for F.

    Parameters
    ----------
    positions : ndarray, shape (n, 3)
        Within `radius` of the origin, angstrom.
    radius : float
        Of the ball, angstrom.
    nearest : float
        Distance of neighbours, angstrom: Bragg vectors are looked for between `SHORTEST` and `LONGEST` over this.

    Returns
    -------
    vectors : ndarray, shape (n_waves, 3), float32
        Bragg vectors g, 1/angstrom, the strongest first; at most `N_WAVES`. Of g and -g, one.
    amplitudes : ndarray, shape (n_waves,), complex64
        F(g). None is weaker than what occurs without order.
    """
    vectors, amplitudes = np.zeros((N_WAVES, 3), np.float32), np.zeros((N_WAVES, 2), np.float32)
    points = np.ascontiguousarray(np.transpose(positions), np.float32)
    weights = np.maximum(1 - (points**2).sum(axis=0) / np.float32(radius) ** 2, 0)
    n = _find_alone(points, weights, radius, nearest, vectors, amplitudes) if len(weights) >= SMALLEST_BALL else 0
    return vectors[:n], amplitudes[:n].view(np.complex64)[:, 0]


def carried_by(positions: np.ndarray, vectors: np.ndarray, amplitudes: np.ndarray) -> np.ndarray:
    """Return how well waves carry atoms, c(r) of the module, (n,), from -1 to 1: near to 1 in the places of their
    crystal.

    Parameters
    ----------
    positions : ndarray, shape (n, 3)
        Relative to the middle of the ball in which the waves were found, angstrom.
    vectors, amplitudes : ndarray, shapes (n_waves, 3), (n_waves,)
        Of `find_waves`.
    """
    waves = np.exp(-2j * np.pi * (np.asarray(positions) @ np.transpose(vectors)))
    return (waves @ amplitudes).real / np.abs(amplitudes).sum()


@_compiled
def find_in_boxes(points, first, boxes, radius, nearest, vectors, amplitudes, numbers):
    """`find_waves` around the middle of each of some boxes of a grid, among the atoms of the 27 boxes around it.

    Parameters
    ----------
    points : ndarray, shape (n, 3), float32
        Atoms, box by box, angstrom.
    first : ndarray of int, shape (nx, ny, nz + 1)
        Of each box (i, j, k) the index of its first atom; that of (i, j, k + 1) is its end.
    boxes : ndarray, shape (n_boxes, 6), float64
        Indices of the boxes, which have 26 others around them, and their middles.
    radius, nearest : float
        As in `find_waves`.
    vectors, amplitudes, numbers : ndarray, shapes (n_boxes, N_WAVES, 3), (n_boxes, N_WAVES, 2), (n_boxes,)
        What is found is written here.
    """
    for b in range(len(boxes)):
        ix, iy, iz = int(boxes[b, 0]), int(boxes[b, 1]), int(boxes[b, 2])
        most = 0
        for i in range(ix - 1, ix + 2):
            for j in range(iy - 1, iy + 2):
                most += first[i, j, iz + 2] - first[i, j, iz - 1]
        ball, weights, n = np.empty((3, most), np.float32), np.empty(most, np.float32), 0
        for i in range(ix - 1, ix + 2):
            for j in range(iy - 1, iy + 2):
                for a in range(first[i, j, iz - 1], first[i, j, iz + 2]):
                    x = np.float32(points[a, 0] - boxes[b, 3])
                    y = np.float32(points[a, 1] - boxes[b, 4])
                    z = np.float32(points[a, 2] - boxes[b, 5])
                    weight = np.float32(1 - (x * x + y * y + z * z) / (radius * radius))
                    if weight > 0:
                        ball[0, n], ball[1, n], ball[2, n], weights[n] = x, y, z, weight
                        n += 1
        numbers[b] = 0
        if n >= SMALLEST_BALL:
            inside = np.empty((3, n), np.float32)
            inside[:] = ball[:, :n]
            numbers[b] = _find(inside, weights[:n].copy(), radius, nearest, vectors[b], amplitudes[b])


@_exact
def _match(vectors, others, tolerance):
    """For each of some vectors the index of the nearest of others within a tolerance, -1 if none, and the sign with
    which it fits."""
    index, sign = np.full(len(vectors), -1), np.ones(len(vectors))
    for k in range(len(vectors)):
        best = tolerance * tolerance
        for m in range(len(others)):
            same, opposite = 0.0, 0.0
            for a in range(3):
                same += (vectors[k, a] - others[m, a]) ** 2
                opposite += (vectors[k, a] + others[m, a]) ** 2
            if same < best:
                best, index[k], sign[k] = same, m, 1.0
            if opposite < best:
                best, index[k], sign[k] = opposite, m, -1.0
    return index, sign


@_exact
def _compare(vectors, powers, others, their_powers, tolerance):
    """Share of the power that both have, small rotation (3,) from the first to the others, and what this leaves, in
    units of |g|."""
    index, sign = _match(vectors, others, tolerance)
    mine, theirs, seen = 0.0, 0.0, np.zeros(len(others))
    normal, right = np.zeros((3, 3)), np.zeros(3)
    for k in range(len(vectors)):
        m = index[k]
        if m < 0:
            continue
        mine += powers[k]
        if seen[m] == 0:
            theirs += their_powers[m]
            seen[m] = 1
        # Least squares of g' - g = w x g, weighted by the weaker of the two.
        weight, g = min(powers[k], their_powers[m]), vectors[k]
        change = sign[k] * others[m] - g
        square = g[0] * g[0] + g[1] * g[1] + g[2] * g[2]
        for a in range(3):
            for b in range(3):
                normal[a, b] += weight * ((square if a == b else 0.0) - g[a] * g[b])
        right[0] += weight * (g[1] * change[2] - g[2] * change[1])
        right[1] += weight * (g[2] * change[0] - g[0] * change[2])
        right[2] += weight * (g[0] * change[1] - g[1] * change[0])
    share = min(mine / max(powers.sum(), 1e-30), theirs / max(their_powers.sum(), 1e-30))
    trace = normal[0, 0] + normal[1, 1] + normal[2, 2]
    if np.linalg.det(normal) <= 1e-6 * trace**3:  # fewer than two directions
        return 0.0, np.zeros(3), np.inf
    turn = np.linalg.solve(normal, right)
    left, total = 0.0, 0.0
    for k in range(len(vectors)):
        m = index[k]
        if m >= 0:
            weight, rest = min(powers[k], their_powers[m]), sign[k] * others[m] - turned(vectors[k : k + 1], turn)[0]
            left += weight * (rest[0] ** 2 + rest[1] ** 2 + rest[2] ** 2)
            total += weight * (vectors[k, 0] ** 2 + vectors[k, 1] ** 2 + vectors[k, 2] ** 2)
    return share, turn, np.sqrt(left / total)


@_exact
def turned(vectors, turn):
    """Turn vectors (n, 3) by a small rotation vector: g + w x g."""
    result = vectors.copy()
    for k in range(len(vectors)):
        g = vectors[k]
        result[k, 0] += turn[1] * g[2] - turn[2] * g[1]
        result[k, 1] += turn[2] * g[0] - turn[0] * g[2]
        result[k, 2] += turn[0] * g[1] - turn[1] * g[0]
    return result


@_exact
def compare_pairs(pairs, vectors, powers, numbers, tolerance):
    """Compare the waves of pairs of balls.

    Parameters
    ----------
    pairs : ndarray of int, shape (n_pairs, 2)
    vectors, powers, numbers : ndarray, shapes (n, N_WAVES, 3), (n, N_WAVES), (n,)
        Of each ball Bragg vectors, |F|^2 and the number of its waves.
    tolerance : float
        How far apart two vectors may be that are one, 1/angstrom.

    Returns
    -------
    ndarray, shape (n_pairs, 5)
        Share of the power that has its like in the other ball, of the two balls the smaller; the small rotation vector
        from the first to the second (radian); root mean square of what it leaves, in units of |g|: strain.
    """
    result = np.empty((len(pairs), 5))
    for e in range(len(pairs)):
        i, j = pairs[e]
        n, m = numbers[i], numbers[j]
        share, turn, rest = _compare(vectors[i, :n], powers[i, :n], vectors[j, :m], powers[j, :m], tolerance)
        result[e, 0], result[e, 1:4], result[e, 4] = share, turn, rest
    return result


@_exact
def join_balls(pairs, turns, neighbours, vectors, powers, numbers, purity, tolerance, least_share, largest_turn):
    """Join balls that hold the same crystal, pair by pair in the order given (Kruskal's): a forest with an orientation
    in each node.

    The rotations of the pairs add up along the tree, so that every ball has an orientation relative to any other of its
    region. Two regions are joined if their mean orientations around the pair are within `largest_turn` and if the
    purest ball of one, turned to the other's, has its waves, within half of that: balls across a boundary, which have
    waves of both crystals, are bridges otherwise.

    Parameters
    ----------
    pairs : ndarray of int, shape (n_pairs, 2)
        Of balls whose waves are alike.
    turns : ndarray, shape (n_pairs, 3)
        Their small rotations, of `compare_pairs`, radian.
    neighbours : ndarray of int, shape (n, 26)
        Balls around each, -1 for none.
    vectors, powers, numbers : ndarray
        As in `compare_pairs`.
    purity : ndarray, shape (n,)
        Larger in a ball of one crystal than in one of two.
    tolerance, least_share : float
        Of the comparison of two purest balls.
    largest_turn : float
        Radian.

    Returns
    -------
    root : ndarray of int, shape (n,)
        A ball that stands for its region.
    turn : ndarray, shape (n, 3)
        Orientation relative to that one.
    """
    n = len(numbers)
    parent, purest = np.arange(n), np.arange(n)
    turn, count = np.zeros((n, 3)), np.ones(n)
    for e in range(len(pairs)):
        i, j = pairs[e]
        a, from_a = _climb_tree(parent, turn, i)
        b, from_b = _climb_tree(parent, turn, j)
        if a == b:
            continue
        between = from_a + turns[e] - from_b  # orientation of root b relative to root a
        # Where a crystal is bent, only the orientations around the pair can be compared.
        apart = between + _mean_around(j, b, neighbours, parent, turn) - _mean_around(i, a, neighbours, parent, turn)
        if np.sqrt((apart**2).sum()) > largest_turn:
            continue
        p, q = purest[a], purest[b]
        if count[a] > 1 or count[b] > 1:
            relative = between + _climb_tree(parent, turn, q)[1] - _climb_tree(parent, turn, p)[1]
            mine = turned(vectors[p, : numbers[p]], relative)
            share, left, _ = _compare(
                mine, powers[p, : numbers[p]], vectors[q, : numbers[q]], powers[q, : numbers[q]], tolerance
            )
            if share < least_share or np.sqrt((left**2).sum()) > largest_turn / 2:
                continue
        if count[b] > count[a]:
            a, b, between = b, a, -between
        parent[b], turn[b] = a, between
        count[a] += count[b]
        purest[a] = p if purity[p] >= purity[q] else q
    root, orientation = np.empty(n, np.int64), np.empty((n, 3))
    for i in range(n):
        root[i], orientation[i] = _climb_tree(parent, turn, i)
    return root, orientation


@_exact
def _mean_around(ball, root, neighbours, parent, turn):
    """Mean orientation, relative to the root, of a ball and those of its neighbours that are in the same region."""
    total, n = _climb_tree(parent, turn, ball)[1], 1
    for other in neighbours[ball]:
        if other >= 0:
            its, relative = _climb_tree(parent, turn, other)
            if its == root:
                total = total + relative
                n += 1
    return total / n


@_exact
def _climb_tree(parent, turn, node):
    """Root of a node and its orientation relative to it; what lies between is hung at the root."""
    root = node
    while parent[root] != root:
        root = parent[root]
    total = np.zeros(3)
    i = node
    while i != root:
        total += turn[i]
        i = parent[i]
    rest, i = total.copy(), node
    while i != root:
        following, own = parent[i], turn[i].copy()
        parent[i], turn[i] = root, rest
        rest = rest - own
        i = following
    return root, total


@_exact
def keep_common(pairs, vectors, amplitudes, numbers, tolerance):
    """Of balls, keep only the waves that a purer ball of the same crystal has, too: those of another crystal in it go.

    Parameters
    ----------
    pairs : ndarray of int, shape (n_pairs, 2)
        A ball and the purer one.
    vectors, amplitudes, numbers : ndarray
        Of all balls; changed in place.
    """
    original, counts = vectors.copy(), numbers.copy()
    for e in range(len(pairs)):
        i, j = pairs[e]
        index, _ = _match(original[i, : counts[i]], original[j, : counts[j]], tolerance)
        kept = 0
        for k in range(counts[i]):
            if index[k] >= 0:
                vectors[i, kept], amplitudes[i, kept] = original[i, k], amplitudes[i, k].copy()
                kept += 1
        numbers[i] = kept


MOST_GRAINS = 6
"""Grains that are asked about one atom, the nearest."""

_PER_GRAIN = 2  # of their balls, the nearest


@_compiled
def ride(points, first, wanted, middles, grain, vectors, amplitudes, numbers, riders, scores):
    """Ask of each atom how well the waves of the grains around carry it, c(r) of the module: of each grain the two
    nearest balls.

    Parameters
    ----------
    points, first : ndarray
        As in `find_in_boxes`; the outermost boxes are not asked about.
    wanted : ndarray of int, shape (n,)
        Zero for atoms that are not asked about.
    middles, grain, vectors, amplitudes, numbers : ndarray, shape (nx, ny, nz, ...)
        Of each box the middle, the grain of its ball (-1 for none), the waves of that and their number.
    riders, scores : ndarray, shape (n, MOST_GRAINS)
        Grains near (-1 beyond their number) and c(r) are written here.
    """
    for ix in range(1, first.shape[0] - 1):
        for iy in range(1, first.shape[1] - 1):
            for iz in range(1, first.shape[2] - 2):
                for a in range(first[ix, iy, iz], first[ix, iy, iz + 1]):
                    if wanted[a]:
                        _ride_one(
                            points[a], ix, iy, iz, middles, grain, vectors, amplitudes, numbers, riders[a], scores[a]
                        )


@_part
def _ride_one(point, ix, iy, iz, middles, grain, vectors, amplitudes, numbers, riders, scores):
    # The two nearest balls of each grain among those of the 27 boxes around.
    riders[:] = -1
    near = np.full((MOST_GRAINS, _PER_GRAIN, 3), -1)
    distance = np.full((MOST_GRAINS, _PER_GRAIN), np.inf)
    n_grains = 0
    for i in range(ix - 1, ix + 2):
        for j in range(iy - 1, iy + 2):
            for k in range(iz - 1, iz + 2):
                which = grain[i, j, k]
                if which < 0:
                    continue
                x = point[0] - middles[i, j, k, 0]
                y = point[1] - middles[i, j, k, 1]
                z = point[2] - middles[i, j, k, 2]
                square = x * x + y * y + z * z
                m = 0
                while m < n_grains and riders[m] != which:
                    m += 1
                if m == n_grains:
                    if n_grains == MOST_GRAINS:  # the nearest stay
                        m = distance[:, 0].argmax()
                        if square >= distance[m, 0]:
                            continue
                        distance[m], near[m] = np.inf, -1
                    else:
                        n_grains += 1
                    riders[m] = which
                if square < distance[m, 0]:
                    distance[m, 1], near[m, 1] = distance[m, 0], near[m, 0]
                    distance[m, 0] = square
                    near[m, 0, 0], near[m, 0, 1], near[m, 0, 2] = i, j, k
                elif square < distance[m, 1]:
                    distance[m, 1] = square
                    near[m, 1, 0], near[m, 1, 1], near[m, 1, 2] = i, j, k
    for m in range(n_grains):
        total, balls = 0.0, 0
        for s in range(_PER_GRAIN):
            i, j, k = near[m, s, 0], near[m, s, 1], near[m, s, 2]
            if i < 0:
                continue
            x = point[0] - middles[i, j, k, 0]
            y = point[1] - middles[i, j, k, 1]
            z = point[2] - middles[i, j, k, 2]
            along, norm = 0.0, 1e-30
            for w in range(numbers[i, j, k]):
                g, f = vectors[i, j, k, w], amplitudes[i, j, k, w]
                phase = g[0] * x + g[1] * y + g[2] * z
                phase = 2 * np.pi * (phase - np.rint(phase))
                along += f[0] * np.cos(phase) + f[1] * np.sin(phase)
                norm += np.sqrt(f[0] * f[0] + f[1] * f[1])
            total += along / norm
            balls += 1
        scores[m] = total / balls


@_compiled
def settle(points, first, wanted, riders, scores, reach, threshold, grains, carried):
    """Give each wanted atom to the grain whose waves carry it and its neighbours best, or to none.

    Of the grains that `ride` asked about, the one with the largest sum of the atom's own score and the mean of its
    neighbours' within `reach`. Whether it has any is for the neighbours to say: the score of an atom by itself, in
    heat, is that of a foreign one at times, their mean is not.

    Parameters
    ----------
    points, first : ndarray
        As in `find_in_boxes`.
    wanted : ndarray of int, shape (n,)
        2: an answer is wanted; 1: a neighbour of such; 0: neither.
    riders, scores : ndarray, shape (n, MOST_GRAINS)
        Of `ride`.
    reach : float
        Angstrom.
    threshold : float
        Least score of an atom that belongs to a grain: a quarter its own, three quarters that of its neighbours.
    grains, carried : ndarray, shape (n,)
        Grain, -1 for none, and that score are written here.
    """
    for ix in range(1, first.shape[0] - 1):
        for iy in range(1, first.shape[1] - 1):
            for iz in range(1, first.shape[2] - 2):
                for a in range(first[ix, iy, iz], first[ix, iy, iz + 1]):
                    if wanted[a] < 2:
                        continue
                    sums, n = np.zeros(MOST_GRAINS), 0
                    for i in range(ix - 1, ix + 2):
                        for j in range(iy - 1, iy + 2):
                            for b in range(first[i, j, iz - 1], first[i, j, iz + 2]):
                                x = points[a, 0] - points[b, 0]
                                y = points[a, 1] - points[b, 1]
                                z = points[a, 2] - points[b, 2]
                                if b == a or x * x + y * y + z * z > reach * reach:
                                    continue
                                n += 1
                                for m in range(MOST_GRAINS):
                                    which = riders[b, m]
                                    if which < 0:
                                        break
                                    for k in range(MOST_GRAINS):
                                        if riders[a, k] == which:
                                            sums[k] += scores[b, m]
                    grains[a], carried[a], best = -1, 0, 0.0
                    for m in range(MOST_GRAINS):
                        if riders[a, m] < 0:
                            break
                        around = sums[m] / n if n else scores[a, m]
                        if scores[a, m] + around > best:
                            best, grains[a] = scores[a, m] + around, riders[a, m]
                            carried[a] = (scores[a, m] + 3 * around) / 4
                    if carried[a] < threshold:
                        grains[a] = -1


@_exact
def touching(points, first, grains, reach):
    """Return the grains (n, 2), smaller number first, of each pair of atoms of different grains within `reach` of each
    other.

    Parameters
    ----------
    points, first : ndarray
        As in `find_in_boxes`. The first atom of a pair is in the inner boxes; a pair with an atom of the boxes around
        them counts where the first has the smaller grain.
    grains : ndarray of int, shape (n,)
        -1 for none.
    """
    pairs = []
    for ix in range(1, first.shape[0] - 1):
        for iy in range(1, first.shape[1] - 1):
            for iz in range(1, first.shape[2] - 2):
                for a in range(first[ix, iy, iz], first[ix, iy, iz + 1]):
                    if grains[a] < 0:
                        continue
                    for i in range(ix - 1, ix + 2):
                        for j in range(iy - 1, iy + 2):
                            for b in range(first[i, j, iz - 1], first[i, j, iz + 2]):
                                if grains[b] <= grains[a]:
                                    continue
                                x = points[a, 0] - points[b, 0]
                                y = points[a, 1] - points[b, 1]
                                z = points[a, 2] - points[b, 2]
                                if x * x + y * y + z * z <= reach * reach:
                                    pairs.append((grains[a], grains[b]))
    result = np.empty((len(pairs), 2), np.int64)
    for k in range(len(pairs)):
        result[k, 0], result[k, 1] = pairs[k]
    return result
