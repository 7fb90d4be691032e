import os
import subprocess
import sys

import numpy as np
import pytest
from ase.build import bulk
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from xtalsight.clouds import endless_ball
from xtalsight.counterexamples import build_counterexample, make_counterexamples
from xtalsight.waves import (
    LONGEST,
    N_WAVES,
    SHORTEST,
    SMALLEST_BALL,
    carried_by,
    compare_pairs,
    find_in_boxes,
    find_waves,
    join_balls,
    keep_common,
    touching,
)

SEED = 1912
RADIUS = 12.0  # of the balls, angstrom
VECTOR = 0.08  # of a reciprocal cell: other peaks move a peak by less
ROTATION = np.radians(0.1)  # likewise
STRAIN = 0.006  # likewise
AMPLITUDE = 0.02  # of what one ball shows of an endless crystal
CRYSTALS = {"fcc": bulk("Cu"), "bcc": bulk("Fe"), "diamond": bulk("Si"), "sc": bulk("Po", "sc", a=3.35)}
CUBES = {"fcc": 3.61, "bcc": 2.87, "diamond": 5.43, "sc": 3.35}  # edges, angstrom
NEAREST = {"fcc": 1 / np.sqrt(2), "bcc": np.sqrt(3) / 2, "diamond": np.sqrt(3) / 4, "sc": 1.0}  # in units of these
each_crystal = pytest.mark.parametrize("name", CRYSTALS)


def allowed(name, hkl):
    """Reflections of a cubic crystal, by the rules of textbooks."""
    odd = hkl % 2
    alike = (odd == odd[..., :1]).all(axis=-1)
    total = hkl.sum(axis=-1)
    rules = {
        "sc": np.ones(hkl.shape[:-1], bool),
        "bcc": total % 2 == 0,
        "fcc": alike,
        "diamond": alike & ((odd.all(axis=-1)) | (total % 4 == 0)),
    }
    return rules[name]


def nearest(name):
    return CUBES[name] * NEAREST[name]


def ball(name="fcc", turn=None, middle=(0.1, 0.2, 0.3), radius=RADIUS, strain=0.0):
    """Atoms of a crystal around a place in it that is none of its own."""
    crystal = CRYSTALS[name].copy()
    matrix = np.eye(3) + strain
    if turn is not None:
        matrix = matrix @ turn.as_matrix().T
    crystal.set_cell(crystal.cell.array @ matrix, scale_atoms=True)
    return endless_ball(crystal, np.array(middle), radius)[0]


def waves(positions, name="fcc", radius=RADIUS):
    vectors, amplitudes = find_waves(positions, radius, nearest(name))
    return vectors.astype(float), amplitudes


def indices(vectors, name, turn=None):
    """Miller indices, of the conventional cell, of Bragg vectors."""
    return CUBES[name] * (vectors if turn is None else turn.inv().apply(vectors))


def as_balls(*found):
    """Vectors, powers and numbers of some balls, as they are compared."""
    vectors, powers = np.zeros((len(found), N_WAVES, 3)), np.zeros((len(found), N_WAVES))
    for i, (its, amplitudes) in enumerate(found):
        vectors[i, : len(its)], powers[i, : len(its)] = its, np.abs(amplitudes) ** 2
    return vectors, powers, np.array([len(its) for its, _ in found])


def disordered(number=0):
    """A ball of some 250 spheres packed at random, and their distance of neighbours."""
    packing = build_counterexample(make_counterexamples({"hard_spheres": number + 1}, SEED).iloc[number]).repeat(2)
    positions = packing.positions - packing.positions.mean(axis=0)
    distance = np.linalg.norm(positions, axis=1)
    radius = np.sort(distance)[250]
    positions = positions[distance < radius]
    return positions, radius, np.median(cKDTree(positions).query(positions, k=2)[0][:, 1])


# What the waves of a crystal are.


@each_crystal
def test_waves_are_the_reciprocal_lattice(name):
    vectors, _ = waves(ball(name), name)
    hkl = indices(vectors, name)
    np.testing.assert_allclose(hkl, np.rint(hkl), atol=VECTOR)
    assert allowed(name, np.rint(hkl).astype(int)).all()


@pytest.mark.parametrize("name", ["fcc", "sc"])
def test_all_vectors_of_the_reciprocal_lattice_that_are_short_are_found(name):
    """Of fcc and sc there are fewer than `N_WAVES`; of g and -g one."""
    hkl = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    lengths = np.linalg.norm(hkl, axis=1) * NEAREST[name]
    expected = hkl[allowed(name, hkl) & (lengths > SHORTEST) & (lengths < LONGEST)]
    vectors, _ = waves(ball(name), name)
    found = np.rint(indices(vectors, name)).astype(int)
    assert 2 * len(found) == len(expected)
    assert {*map(tuple, found), *map(tuple, -found)} == set(map(tuple, expected))


def test_of_equal_ones_waves_of_diamond_are_as_strong_as_the_structure_factor_says():
    """|1 + i^(h + k + l)| / 2: 1 or 1 / sqrt(2)."""
    vectors, amplitudes = waves(ball("diamond"), "diamond")
    odd = np.rint(indices(vectors, "diamond")).astype(int)[:, 0] % 2 == 1
    assert odd.any() and not odd.all()
    np.testing.assert_allclose(np.abs(amplitudes), np.where(odd, np.sqrt(0.5), 1), atol=AMPLITUDE)


@pytest.mark.parametrize("name", ["fcc", "bcc", "sc"])
def test_in_a_perfect_crystal_of_one_site_every_wave_is_1(name):
    _, amplitudes = waves(ball(name), name)
    np.testing.assert_allclose(np.abs(amplitudes), 1, atol=AMPLITUDE)


def test_waves_come_strongest_first_and_are_single_precision():
    positions = ball()
    positions += np.random.default_rng(SEED).normal(scale=0.2, size=positions.shape)
    vectors, amplitudes = find_waves(positions, RADIUS, nearest("fcc"))
    assert (vectors.dtype, amplitudes.dtype) == (np.float32, np.complex64)
    assert len(vectors) == len(amplitudes) <= N_WAVES
    assert (np.diff(np.abs(amplitudes)) <= 1e-6).all()


def test_an_amplitude_is_the_weighted_sum_over_the_atoms():
    """F(g) = sum w exp(2 pi i g.r) / sum w, w = 1 - r^2 / R^2."""
    positions = ball("bcc")
    positions += np.random.default_rng(SEED).normal(scale=0.2, size=positions.shape)
    positions = positions[np.linalg.norm(positions, axis=1) < RADIUS]
    vectors, amplitudes = waves(positions, "bcc")
    weights = 1 - (positions**2).sum(axis=1) / RADIUS**2
    expected = weights @ np.exp(2j * np.pi * positions @ vectors.T) / weights.sum()
    np.testing.assert_allclose(amplitudes, expected, atol=1e-4)


def test_waves_are_maxima():
    positions = ball("fcc", Rotation.random(rng=np.random.default_rng(SEED)))
    positions += np.random.default_rng(SEED).normal(scale=0.2, size=positions.shape)
    vectors, amplitudes = waves(positions)
    weights = np.maximum(1 - (positions**2).sum(axis=1) / RADIUS**2, 0)
    for step in 0.01 * np.concatenate([np.eye(3), -np.eye(3)]):
        beside = weights @ np.exp(2j * np.pi * positions @ (vectors + step).T) / weights.sum()
        assert (np.abs(beside) < np.abs(amplitudes)).all()


# What changes them, and how.


@pytest.mark.parametrize("sigma", [0.1, 0.2, 0.25])
def test_independent_displacements_lower_amplitudes_by_debye_and_waller(sigma):
    """exp(-2 pi^2 sigma^2 g^2)."""
    rng = np.random.default_rng(SEED)
    positions = ball(radius=16.0)
    displaced = positions + rng.normal(scale=sigma, size=positions.shape)
    vectors, amplitudes = waves(displaced, radius=16.0)
    clear = np.abs(amplitudes) > 0.3  # weaker ones were chosen, of many, by what chance adds
    factor = np.exp(-2 * np.pi**2 * sigma**2 * (vectors[clear] ** 2).sum(axis=1))
    noise = np.sqrt(10 / 7 / len(positions))
    np.testing.assert_allclose(np.abs(amplitudes[clear]), factor, atol=4 * noise)


@pytest.mark.parametrize("vacancies", [0.25, 0.5])
def test_vacancies_leave_amplitudes(vacancies):
    positions = ball(radius=16.0)
    vectors, amplitudes = waves(positions[np.random.default_rng(SEED).random(len(positions)) >= vacancies], radius=16.0)
    strong = np.abs(amplitudes) > 0.5
    assert strong.sum() == 13
    hkl = indices(vectors[strong], "fcc")
    np.testing.assert_allclose(hkl, np.rint(hkl), atol=0.03)
    np.testing.assert_allclose(np.abs(amplitudes[strong]), 1, atol=0.05)


@each_crystal
def test_a_translation_changes_phases_only(name):
    shift = np.array([0.7, -0.4, 1.1])
    (vectors, before), (moved, after) = (waves(ball(name, middle=m), name) for m in (np.zeros(3), shift))
    both = [(i, j) for i, g in enumerate(vectors) for j in np.flatnonzero(np.linalg.norm(moved - g, axis=1) < 0.01)]
    assert len(both) > 5
    first, second = np.transpose(both)
    np.testing.assert_allclose(np.abs(after[second]), np.abs(before[first]), atol=AMPLITUDE)
    # What is around the new middle has been moved by minus the shift.
    turned = before[first] * np.exp(-2j * np.pi * vectors[first] @ shift)
    np.testing.assert_allclose(after[second], turned, atol=0.05)


@each_crystal
def test_a_rotation_turns_the_vectors(name):
    turn = Rotation.random(rng=np.random.default_rng(SEED))
    vectors, amplitudes = waves(ball(name, turn), name)
    hkl = indices(vectors, name, turn)
    np.testing.assert_allclose(hkl, np.rint(hkl), atol=VECTOR)
    assert allowed(name, np.rint(hkl).astype(int)).all()
    assert np.abs(amplitudes).min() > 0.7 - AMPLITUDE


@pytest.mark.parametrize("number", range(3))
def test_a_random_packing_has_no_strong_wave(number):
    positions, radius, distance = disordered(number)
    _, amplitudes = find_waves(positions, radius, distance)
    assert np.abs(amplitudes).max(initial=0) < 0.36


@pytest.mark.parametrize("n_atoms", [0, 1, SMALLEST_BALL - 1])
def test_few_atoms_have_no_waves(n_atoms):
    positions = ball()[:n_atoms]
    vectors, amplitudes = find_waves(positions.reshape(-1, 3), RADIUS, nearest("fcc"))
    assert vectors.shape == (0, 3) and amplitudes.shape == (0,)


def test_the_order_of_the_atoms_does_not_matter():
    positions = ball("bcc", Rotation.random(rng=np.random.default_rng(SEED)))
    positions += np.random.default_rng(SEED).normal(scale=0.15, size=positions.shape)
    mixed = np.random.default_rng(SEED).permutation(positions)
    share, *turn, rest = compare_pairs(
        np.array([(0, 1)]), *as_balls(waves(positions, "bcc"), waves(mixed, "bcc")), 1e-3
    )[0]
    assert share > 0.99 and np.linalg.norm(turn) < 1e-4 and rest < 1e-3


def test_around_the_boxes_of_a_grid_they_are_those_of_balls():
    """A cell of 3 x 3 x 3 boxes; the middle one has 26 around it."""
    positions = ball(radius=40.0)
    positions = positions[(np.abs(positions) < 18).all(axis=1)]
    box = np.floor((positions + 18) / 12).astype(int).clip(0, 2) @ (9, 3, 1)
    points = positions[np.argsort(box, kind="stable")].astype(np.float32)
    ends = np.cumsum(np.bincount(box, minlength=27)).reshape(3, 3, 3)
    first = np.concatenate([ends[..., :1] - np.bincount(box, minlength=27).reshape(3, 3, 3)[..., :1], ends], axis=2)
    vectors, amplitudes = np.zeros((1, N_WAVES, 3), np.float32), np.zeros((1, N_WAVES, 2), np.float32)
    numbers = np.zeros(1, np.int64)
    places = np.array([[1.0, 1, 1, 0, 0, 0]])
    find_in_boxes(points, first, places, RADIUS, nearest("fcc"), vectors, amplitudes, numbers)
    expected, strengths = find_waves(positions[np.linalg.norm(positions, axis=1) < RADIUS], RADIUS, nearest("fcc"))
    assert numbers[0] == len(expected)
    found = as_balls((vectors[0, : numbers[0]], np.hypot(*amplitudes[0, : numbers[0]].T)), (expected, strengths))
    share, *turn, rest = compare_pairs(np.array([(0, 1)]), *found, 1e-3)[0]
    assert share == pytest.approx(1) and np.linalg.norm(turn) < 1e-5 and rest < 1e-4


# Which atoms ride them.


@pytest.mark.parametrize("name", ["fcc", "bcc", "sc"])
def test_places_of_a_crystal_are_carried(name):
    positions = ball(name)
    np.testing.assert_allclose(carried_by(positions, *waves(positions, name)), 1, atol=1e-3)


@each_crystal
def test_at_random_they_carry_nothing_on_average(name):
    places = np.random.default_rng(SEED).uniform(-8, 8, (20_000, 3))
    score = carried_by(places, *waves(ball(name), name))
    assert abs(score.mean()) < 0.01
    assert score.std() < 0.25
    assert score.max() <= 1 + 1e-6


def test_a_displaced_atom_is_carried_less():
    positions = ball()
    found = waves(positions)
    scores = [carried_by(positions + (x, 0, 0), *found).mean() for x in (0, 0.2, 0.4, 0.6)]
    assert (np.diff(scores) < -0.05).all()


def test_a_vacant_place_is_carried_as_one_that_is_not():
    """The waves are those of the lattice."""
    positions = ball()
    kept = np.random.default_rng(SEED).random(len(positions)) < 0.5
    score = carried_by(positions, *waves(positions[kept]))
    assert score[~kept].min() > 0.9


# Two balls.


@each_crystal
def test_equal_balls_are_alike(name):
    found = as_balls(waves(ball(name), name), waves(ball(name, middle=(1.3, 0.4, 0.2)), name))
    share, *turn, rest = compare_pairs(np.array([(0, 1)]), *found, 0.03)[0]
    assert share > 0.85  # of equally strong ones, others may be kept
    assert np.linalg.norm(turn) < 1e-3 and rest < 1e-3


@pytest.mark.parametrize("axis", [(1, 0, 0), (0.3, -0.5, 0.8)])
@pytest.mark.parametrize("degrees", [0.5, 1.5])
@each_crystal
def test_a_small_rotation_is_found(name, degrees, axis):
    turn = Rotation.from_rotvec(np.radians(degrees) * np.array(axis) / np.linalg.norm(axis))
    base = Rotation.random(rng=np.random.default_rng(SEED))
    found = as_balls(waves(ball(name, base), name), waves(ball(name, turn * base), name))
    share, *rotation, rest = compare_pairs(np.array([(0, 1)]), *found, 0.03)[0]
    assert share > 0.85
    np.testing.assert_allclose(rotation, turn.as_rotvec(), atol=ROTATION)
    assert rest < STRAIN


@pytest.mark.parametrize("strain", [0.005, 0.015])
def test_a_strain_is_what_no_rotation_explains(strain):
    """Of a crystal that is larger all vectors are shorter, by as much of their length."""
    found = as_balls(waves(ball()), waves(ball(strain=strain * np.eye(3))))
    share, *turn, rest = compare_pairs(np.array([(0, 1)]), *found, 0.03)[0]
    assert share == pytest.approx(1)
    assert np.linalg.norm(turn) < 1e-4
    assert rest == pytest.approx(strain / (1 + strain), abs=1e-3)


def test_crystals_that_are_turned_by_more_are_not_alike():
    for degrees in (10, 20, 30):
        other = waves(ball(turn=Rotation.from_euler("xy", (degrees, degrees), degrees=True)))
        assert compare_pairs(np.array([(0, 1)]), *as_balls(waves(ball()), other), 0.03)[0, 0] < 0.5


def test_twins_have_less_than_the_share_of_one_crystal():
    """Sigma 3 leaves some of the waves where they are."""
    twin = Rotation.from_rotvec(np.radians(60) * np.ones(3) / np.sqrt(3))
    share = compare_pairs(np.array([(0, 1)]), *as_balls(waves(ball()), waves(ball(turn=twin))), 0.03)[0, 0]
    assert 0.1 < share < 0.6


def test_a_ball_without_waves_is_like_none():
    nothing = np.zeros((0, 3)), np.zeros(0)
    result = compare_pairs(np.array([(0, 1), (1, 0), (1, 1)]), *as_balls(waves(ball()), nothing), 0.03)
    np.testing.assert_array_equal(result[:, :4], 0)


# Many balls.


def two_crystals(turn, distances=range(-18, 19, 6), name="fcc"):
    """Waves of balls in a row, through the boundary at x = 0 of two crystals that are turned against each other."""
    left, right = (ball(name, one, radius=40.0) for one in (Rotation.identity(), turn))
    positions = np.concatenate([left[left[:, 0] < -0.6], right[right[:, 0] > 0.6]])
    found = []
    for x in distances:
        near = positions - (x, 0, 0)
        found.append(waves(near[np.linalg.norm(near, axis=1) < RADIUS], name))
    return found


def joined(found, largest_turn=3.0, least_share=0.6):
    """Regions of balls in a row, and their orientation, as `map_structure` joins them."""
    vectors, powers, numbers = as_balls(*found)
    sizes = np.sqrt(powers)
    purity = powers.sum(axis=1) / np.maximum(sizes.sum(axis=1), 1e-9)
    own = np.arange(len(found))
    pairs = np.column_stack([own[:-1], own[1:]])
    around = np.full((len(found), 26), -1)
    around[1:, 0], around[:-1, 1] = own[:-1], own[1:]
    alike = compare_pairs(pairs, vectors, powers, numbers, 0.03)
    limit = np.radians(largest_turn)
    angle = np.linalg.norm(alike[:, 1:4], axis=1)
    good = np.flatnonzero((alike[:, 0] >= least_share) & (alike[:, 4] <= 0.03) & (angle <= limit))
    good = good[np.argsort(angle[good], kind="stable")]
    turns = alike[good, 1:4].copy()
    return join_balls(pairs[good], turns, around, vectors, powers, numbers, purity, 0.03, least_share, limit)


def test_balls_of_one_crystal_are_one_region():
    root, turn = joined(two_crystals(Rotation.identity()))
    assert len(set(root)) == 1
    np.testing.assert_allclose(turn, 0, atol=1e-3)


@pytest.mark.parametrize("degrees", [7, 15, 36.87])
def test_there_is_no_bridge_over_a_boundary(degrees):
    """Balls at it have waves of both crystals."""
    root, _ = joined(two_crystals(Rotation.from_euler("x", degrees, degrees=True)))
    assert root[0] != root[-1]


def test_there_is_no_bridge_even_where_balls_at_a_boundary_are_like_both_sides():
    """Only the middle ball holds both, and is taken for either by a low share."""
    found = two_crystals(Rotation.from_euler("x", 20, degrees=True), (-24, -12, 0, 12, 24))
    vectors, powers, numbers = as_balls(*found)
    pairs = np.array([(0, 1), (1, 2), (2, 3), (3, 4)])
    around = np.full((5, 26), -1)
    purity = np.array([1, 1, 0.5, 1, 1])
    root, _ = join_balls(pairs, np.zeros((4, 3)), around, vectors, powers, numbers, purity, 0.03, 0.6, 0.05)
    assert root[0] == root[1] != root[3] == root[4]


def test_along_a_bent_crystal_orientations_add_up():
    turns = np.arange(9) * 1.25  # degrees
    found = [waves(ball(turn=Rotation.from_euler("z", angle, degrees=True))) for angle in turns]
    root, turn = joined(found)
    assert len(set(root)) == 1
    np.testing.assert_allclose(np.degrees(turn - turn[0])[:, 2], turns, atol=0.1)
    np.testing.assert_allclose(np.degrees(turn - turn[0])[:, :2], 0, atol=0.1)


def test_foreign_waves_go_and_those_of_the_crystal_stay():
    found = two_crystals(Rotation.from_euler("xy", (20, 30), degrees=True), (-12, -3))
    (own, _), (mixed, _) = found
    vectors, powers, numbers = as_balls(*found)
    vectors = vectors.astype(np.float32)
    amplitudes = (np.sqrt(powers)[..., None] * np.array([1.0, 0.0])).astype(np.float32)
    before = numbers[1]
    keep_common(np.array([(1, 0)]), vectors, amplitudes, numbers, 0.03)
    assert numbers[0] == len(own) and 8 < numbers[1] < before
    hkl = indices(vectors[1, : numbers[1]], "fcc")
    np.testing.assert_allclose(hkl, np.rint(hkl), atol=0.1)
    rest = [np.abs(np.linalg.norm(mixed - g, axis=1)).min() for g in vectors[1, : numbers[1]]]
    np.testing.assert_allclose(rest, 0, atol=1e-6)


def test_atoms_that_touch_are_counted_once():
    """As a loop over all pairs counts them."""
    rng = np.random.default_rng(SEED)
    positions = rng.uniform(0, 3, (400, 3))
    box = positions.astype(int) @ (9, 3, 1)
    order = np.argsort(box, kind="stable")
    points, grains = positions[order].astype(np.float32), rng.integers(-1, 3, 400)
    counts = np.bincount(box, minlength=27).reshape(3, 3, 3)
    ends = np.cumsum(counts.ravel()).reshape(3, 3, 3)
    # A layer without atoms around: the outermost boxes are not asked about.
    first = np.zeros((5, 5, 6), np.int64)
    first[1:4, 1:4, 1] = ends[..., 0] - counts[..., 0]
    first[1:4, 1:4, 2:5] = ends
    first[1:4, 1:4, 0], first[1:4, 1:4, 5] = first[1:4, 1:4, 1], first[1:4, 1:4, 4]
    found = touching(points, first, grains, 0.9)
    i, j = cKDTree(points).query_pairs(0.9, output_type="ndarray").T
    different = (grains[i] != grains[j]) & (grains[i] >= 0) & (grains[j] >= 0)
    expected = np.sort(np.column_stack([grains[i], grains[j]])[different], axis=1)
    for pair in ((0, 1), (0, 2), (1, 2)):
        assert (found == pair).all(axis=1).sum() == (expected == pair).all(axis=1).sum() > 100


def test_whether_code_has_just_been_compiled_or_was_read_from_a_file_does_not_matter(tmp_path):
    program = (
        "import numpy as np; from ase.build import bulk; from xtalsight.waves import find_waves;"
        "ball = bulk('Cu', cubic=True).repeat(5).positions - 9 + np.random.default_rng(0).normal(scale=0.1, size=(500, 3));"
        "vectors, amplitudes = find_waves(ball[np.linalg.norm(ball, axis=1) < 9], 9.0, 2.55);"
        "print((vectors.tobytes() + amplitudes.tobytes()).hex())"
    )
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    compiled, read = (
        subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True).stdout
        for _ in range(2)
    )
    assert compiled == read != b"\n"
