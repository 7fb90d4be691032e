"""Clouds of atoms in any orientation, without a cell: cut from crystals, and polycrystals of several grains."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from ase import Atoms
from scipy.spatial import ConvexHull, cKDTree
from scipy.spatial.transform import Rotation
from scipy.stats import qmc

from xtalsight.counterexamples import NONE, build_counterexample
from xtalsight.crystals import (
    N_ATOMS,
    ROTATION,
    build_crystal,
    make_recipes,
    neighbour_distances,
    primitive_cell,
    rotate,
    stacked,
    supercell_replicas,
)
from xtalsight.damage import (
    deviatoric,
    independent_displacements,
    random_strain,
    remove_atoms,
    strained,
    thermal_waves,
)
from xtalsight.fingerprints import length_scale

SHAPES = ("sphere", "convex", "fragment", "supercell")
"""Shapes of clouds: a sphere; a random convex body; a sphere in a slab or wire, or at a face, edge or corner; the
standard supercell of `xtalsight.crystals.build_crystal`."""


def cut_cloud(crystal: Atoms, n_atoms: int, shape: str, rng: np.random.Generator) -> Atoms:
    """Cut a cloud of exactly `n_atoms` atoms out of an endless crystal, about a random point.

    Parameters
    ----------
    crystal : Atoms
        Periodic in three directions; its orientation is kept.
    n_atoms : int
    shape : {"sphere", "convex", "fragment"}
        "convex": within a random number, 8 to 16, of random planes whose distances from the middle differ by up to a
        factor of 5/3, and no farther than twice the nearest of them can be. "fragment": a sphere, cut by up to six
        planes at right angles, no nearer to its middle than a quarter of the radius; in half of the cases one or two
        of them are lattice planes.
    rng : Generator

    Returns
    -------
    Atoms
        Without cell, not periodic, around the origin.

    Raises
    ------
    ValueError
        No such shape, or the crystal is not periodic.
    """
    if shape not in SHAPES[:3]:
        raise ValueError(f"{shape=} must be one of {', '.join(SHAPES[:3])}")
    if not crystal.pbc.all():
        raise ValueError("a cloud is cut out of a crystal that is periodic in three directions")
    middle = rng.random(3) @ crystal.cell.array
    gauge, reach = {"sphere": _sphere, "convex": _convex, "fragment": _fragment}[shape](crystal, rng)
    # A sphere that holds the body: r <= reach times the gauge. The gauge of the last atom is not known beforehand.
    radius = (3 * n_atoms * crystal.get_volume() / len(crystal) / (4 * np.pi)) ** (1 / 3)
    while True:
        positions, numbers = endless_ball(crystal, middle, reach * radius)
        values = gauge(positions)
        if (values <= radius).sum() >= n_atoms:
            break
        radius *= 1.1
    kept = np.sort(np.argsort(values, kind="stable")[:n_atoms])
    return Atoms(numbers[kept], positions[kept])


# Each returns a gauge, a function of positions (n, 3) that is below r inside a body r times the size of the first,
# and how far that reaches from its middle.
def _sphere(crystal, rng):
    return (lambda positions: np.linalg.norm(positions, axis=1)), 1.0


def _convex(crystal, rng):
    normals = rng.normal(size=(rng.integers(8, 17), 3))
    normals /= np.linalg.norm(normals, axis=1)[:, None]
    return _within_planes(normals, rng.uniform(0.75, 1.25, len(normals)), 1.5), 1.5


def _fragment(crystal, rng):
    axes = Rotation.random(rng=rng).as_matrix()
    if rng.random() < 0.5:  # the first along a short vector of the reciprocal lattice: a face of a real crystal
        indices = rng.integers(-1, 2, 3)
        normal = indices @ crystal.cell.reciprocal().array if indices.any() else axes[0]
        axes = Rotation.align_vectors(normal, axes[0])[0].apply(axes)
    sides = rng.integers((1, 0, 0), 3)  # on how many of its two sides each axis is cut
    normals = np.concatenate([axes[sides > 0], -axes[sides > 1]])
    return _within_planes(normals, rng.uniform(0.25, 1, len(normals)), 1.0), 1.0


def _within_planes(normals, distances, radius):
    """Gauge of the body within planes and a sphere."""
    planes = normals / distances[:, None]

    def gauge(positions):
        return np.maximum((positions @ planes.T).max(axis=1), np.linalg.norm(positions, axis=1) / radius)

    return gauge


def endless_ball(crystal, middle, radius):
    """Return positions (n, 3) relative to `middle` (3,), and atomic numbers (n,), of the atoms of an endless crystal
    within `radius`, angstrom."""
    crystal = crystal.copy()
    crystal.wrap()
    # A plane of the reciprocal vector b lies |b| r lattice planes away at most.
    limits = np.ceil(radius * np.linalg.norm(crystal.cell.reciprocal().array, axis=1)).astype(int) + 1
    centre = np.floor(crystal.cell.scaled_positions(middle[None])[0]).astype(int)
    cells = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in limits), indexing="ij"), axis=-1).reshape(-1, 3)
    origins = (cells + centre) @ crystal.cell.array - middle
    extent = np.linalg.norm(crystal.positions, axis=1).max()
    origins = origins[(origins**2).sum(axis=1) <= (radius + extent) ** 2]
    positions = (origins[:, None] + crystal.positions).reshape(-1, 3)
    inside = (positions**2).sum(axis=1) <= radius**2
    return positions[inside], np.tile(crystal.numbers, len(origins))[inside]


def pristine(recipes: pd.DataFrame) -> pd.DataFrame:
    """Return recipes of perfect clouds of 256 places, the `SHAPES` by turns, with ``nearest``, the neighbour distance
    (angstrom)."""
    shapes = np.resize(SHAPES, len(recipes))
    return recipes.assign(nearest=neighbour_distances(recipes), shape=shapes, n_atoms=N_ATOMS, vacancy_ratio=0.0)


def build_cloud(recipe) -> Atoms:
    """Build the cloud of a recipe: a crystal of any class, or a structure of none, turned, cut, damaged.

    Primitive cell -> stacking faults -> strain -> orientation -> periodic vacancies and displacements -> cut -> a
    part replaced by another grain or twin -> vacancies -> displacements -> thermal waves. Of a structure of no class,
    which is damaged already, nothing but orientation, cut and waves.

    Parameters
    ----------
    recipe : mapping
        A row of `xtalsight.crystals.make_recipes` or `xtalsight.counterexamples.make_counterexamples` with the
        columns ``shape`` (one of `SHAPES`; of a structure of no class not the supercell) and ``n_atoms`` (before
        vacancies; of a supercell the least number). Optional: ``waves`` (angstrom) and ``anisotropy`` as in
        `xtalsight.damage.thermal_waves`; and of crystals ``strain``, largest minus smallest principal strain (in half
        of the cases of one component only; of a supercell as in `xtalsight.crystals.build_crystal`);
        ``displacement``, angstrom; ``second``, the prototype of another grain, turned at random, of which the cloud
        holds what lies beyond a random plane, 2 to 35 %, or "twin" for the crystal's own mirror image (`TWIN_PLANES`)
        beyond a plane of atoms, up to 50 %; ``faults``, the probability of a stacking fault at each layer (fcc and
        hcp); ``cell_atoms``, least number of atoms of a periodic cell that takes vacancies and displacements instead
        of the cloud, so that they repeat. (The last three not of a supercell.)

    Returns
    -------
    Atoms
        Without cell, not periodic; ``info["name"]`` names the recipe.
    """
    rng = np.random.default_rng([int(recipe["seed"]), int(recipe["id"]), 7])
    if recipe["label"] == NONE:
        structure = build_counterexample(recipe)
        turn = Rotation.random(rng=rng)
        crystal = rotate(structure, turn.as_euler("xyz", degrees=True))
        cloud = cut_cloud(crystal, int(recipe["n_atoms"]), recipe["shape"], rng)
        _heat(cloud, recipe, turn, len(crystal) / crystal.get_volume(), rng)
        cloud.info["name"] = structure.info["name"]
        return cloud
    angles = [recipe[name] for name in ROTATION]
    if recipe["shape"] == "supercell":
        cloud = rotate(build_crystal(recipe), angles)  # the supercell itself stands in the standard orientation
        cloud.set_cell(None)
        cloud.pbc = False
        return cloud
    crystal = stacked(recipe, rng) if recipe.get("faults", 0) > 0 else primitive_cell(recipe)
    if (size := recipe.get("strain", 0)) > 0:
        strain = random_strain(1.0, rng)
        if rng.random() < 0.5:  # one component, as calculations of elastic constants have it
            i, j = rng.integers(0, 3, 2)
            one = np.zeros((3, 3))
            one[i, j] = one[j, i] = strain[i, j]
            strain = one
        crystal = strained(crystal, strain * size / deviatoric(strain))
    nearest = length_scale(crystal)
    crystal = rotate(crystal, angles)
    displacement = recipe.get("displacement", 0)
    periodic = recipe.get("cell_atoms", 0) > 0
    if periodic:
        crystal = remove_atoms(
            crystal.repeat(supercell_replicas(crystal, int(recipe["cell_atoms"]))), recipe["vacancy_ratio"], rng
        )
        crystal.positions += independent_displacements(len(crystal), displacement, rng)
    cloud = cut_cloud(crystal, int(recipe["n_atoms"]), recipe["shape"], rng)
    turn = Rotation.from_euler("xyz", angles, degrees=True)
    if recipe.get("second") == "twin":
        cloud = _with_twin(cloud, recipe, turn, nearest, rng)
    elif isinstance(recipe.get("second"), str):
        cloud = _with_second_grain(cloud, recipe, nearest, rng)
    if not periodic:
        cloud = remove_atoms(cloud, recipe["vacancy_ratio"], rng)
        cloud.positions += independent_displacements(len(cloud), displacement, rng)
    _heat(cloud, recipe, turn, 1 / recipe["volume"], rng)
    cloud.info["name"] = f"{recipe['element']} {recipe['prototype']} {recipe['id']}"
    return cloud


def _heat(cloud, recipe, turn, density, rng):
    """Displace the atoms of a cloud by thermal waves, as seen from its crystal's own axes."""
    if (sigma := recipe.get("waves", 0)) > 0:
        anisotropy = recipe.get("anisotropy", 1)
        along_axes = thermal_waves(turn.inv().apply(cloud.positions), sigma, density, rng, anisotropy)
        cloud.positions += turn.apply(along_axes)


TWIN_PLANES = {"fcc": (1, 1, 1), "diamond": (1, 1, 1), "bct_in": (1, 0, 1), "bct_pa": (1, 0, 1), "bcc": (1, 1, 2)}
"""Twin plane by prototype, Miller indices of the conventional cell: of other prototypes there are no twins here."""


def _with_twin(cloud, recipe, turn, nearest, rng):
    """Replace the atoms beyond a plane of atoms by the mirror image of those before it."""
    c_over_a = recipe["c_over_a"] if np.isfinite(recipe["c_over_a"]) else 1.0
    normal = np.array(TWIN_PLANES[recipe["prototype"]]) * rng.choice([-1, 1], 3) / (1, 1, c_over_a)
    normal = turn.apply(normal / np.linalg.norm(normal))
    heights = cloud.positions @ normal
    at = np.argsort(heights)[int(rng.uniform(0.5, 0.98) * (len(cloud) - 1))]
    plane = heights[at]
    if recipe["prototype"] == "diamond":  # the mirror is in the middle of the bonds along the normal
        above = cKDTree(cloud.positions).query(cloud.positions[at] + nearest * normal)[0] < 0.3 * nearest
        plane += (0.5 if above else -0.5) * nearest
    faces = ConvexHull(cloud.positions, qhull_options="QJ").equations
    near = 0.1 * nearest
    kept = cloud[heights < plane + near]
    beyond = kept.positions[kept.positions @ normal < plane - near]
    beyond = beyond + 2 * (plane - beyond @ normal)[:, None] * normal
    beyond = beyond[(beyond @ faces[:, :3].T + faces[:, 3] <= near).all(axis=1)]
    return kept + Atoms(recipe["element"] * len(beyond), beyond)


def _with_second_grain(cloud, recipe, nearest, rng):
    """Replace the atoms beyond a plane by those of another crystal of the element, the closest pairs left out."""
    (second,) = make_recipes({recipe["second"]: 1}, int(recipe["id"]), elements=[recipe["element"]]).to_dict("records")
    other = rotate(primitive_cell(second), Rotation.random(rng=rng).as_euler("xyz", degrees=True))
    radius = np.linalg.norm(cloud.positions, axis=1).max()
    positions, numbers = endless_ball(other, rng.random(3) @ other.cell.array, radius)
    faces = ConvexHull(cloud.positions, qhull_options="QJ").equations  # (n, 4): normal . position + offset < 0 inside
    normal = rng.normal(size=3)
    plane = np.quantile(cloud.positions @ normal, 1 - rng.uniform(0.02, 0.35))
    cloud = cloud[cloud.positions @ normal < plane]
    beyond = (positions @ normal >= plane) & (positions @ faces[:, :3].T + faces[:, 3] <= 0).all(axis=1)
    positions, numbers = positions[beyond], numbers[beyond]
    apart = cKDTree(cloud.positions).query(positions)[0] > _CLOSEST * nearest
    return cloud + Atoms(numbers[apart], positions[apart])


_CLOSEST = 0.75  # of the nearest-neighbour distance: atoms of two grains that come closer are not both there


def build_polycrystal(
    cells: Sequence[Atoms],
    n_atoms: int,
    rng: np.random.Generator,
    vacancy_ratio: float = 0.0,
    displacement: float = 0.0,
) -> Atoms:
    """Fill a cube with Voronoi grains, one of each given crystal, turned at random.

    The middles of the grains are random points that keep their distance (`scipy.stats.qmc.PoissonDisk`). Where grains
    meet, atoms that come closer than 0.75 of the nearest-neighbour distance to one of another grain are left out.

    Parameters
    ----------
    cells : sequence of Atoms
        Periodic cell of the crystal of each grain.
    n_atoms : int
        Atoms of the perfect crystals in the cube, about.
    rng : Generator
    vacancy_ratio : float
        Fraction of the atoms to remove, in [0, 1).
    displacement : float
        Standard deviation of each coordinate, angstrom.

    Returns
    -------
    Atoms
        Without cell; arrays ``grain`` (index into `cells`) and ``from_boundary``, the distance of the place of the
        perfect crystal from the nearest plane between two grains, angstrom.

    Raises
    ------
    ValueError
        No cells, or one that is not periodic.

    References
    ----------
    G. Voronoi, J. Reine Angew. Math. 134, 198 (1908), doi:10.1515/crll.1908.134.198.
    """
    if len(cells) == 0 or not all(cell.pbc.all() for cell in cells):
        raise ValueError("a polycrystal needs the cell of at least one crystal, each periodic in three directions")
    volume = np.mean([cell.get_volume() / len(cell) for cell in cells])
    edge = (n_atoms * volume) ** (1 / 3)
    middles = edge * _apart(len(cells), rng)
    tree = cKDTree(middles)
    # How far each grain reaches, from points that fill the cube densely enough.
    probes = edge * qmc.Sobol(3, rng=rng).random_base2(15)
    distance, nearest = tree.query(probes)
    reach = np.array([distance[nearest == grain].max(initial=0) for grain in range(len(cells))]) + 0.05 * edge
    parts = []
    for grain, cell in enumerate(cells):
        turned = rotate(cell, Rotation.random(rng=rng).as_euler("xyz", degrees=True))
        positions, numbers = endless_ball(turned, rng.random(3) @ turned.cell.array, reach[grain])
        positions += middles[grain]
        inside = ((positions >= 0) & (positions < edge)).all(axis=1)
        inside[inside] = tree.query(positions[inside])[1] == grain
        part = Atoms(numbers[inside], positions[inside])
        part.set_array("grain", np.full(len(part), grain))
        parts.append(part)
    atoms = sum(parts[1:], parts[0])
    closest = _CLOSEST * min(length_scale(cell) for cell in cells)
    pairs = cKDTree(atoms.positions).query_pairs(closest, output_type="ndarray")
    grains = atoms.arrays["grain"]
    pairs = pairs[grains[pairs[:, 0]] != grains[pairs[:, 1]]]
    atoms = atoms[np.setdiff1d(np.arange(len(atoms)), pairs[:, 1])]
    atoms.set_array("from_boundary", _from_boundary(atoms.positions, middles))
    atoms = remove_atoms(atoms, vacancy_ratio, rng)
    atoms.positions += independent_displacements(len(atoms), displacement, rng)
    return atoms


def _apart(n, rng):
    """Random points (n, 3) in the unit cube, no two closer than seven tenths of the edge of their share of it."""
    points = qmc.PoissonDisk(3, radius=0.7 * n ** (-1 / 3), rng=rng).fill_space()
    if len(points) < n:
        raise ValueError(f"{n} grains do not fit")  # the fill is denser than this: not seen
    return points[np.sort(rng.permutation(len(points))[:n])]


def _from_boundary(positions, middles):
    """Distance to the nearest of the planes that bisect the lines between the middle of the own grain and others."""
    if len(middles) == 1:
        return np.full(len(positions), np.inf)
    distances = np.linalg.norm(positions[:, None] - middles, axis=-1)
    own = distances.argmin(axis=1)
    apart = np.linalg.norm(middles[own][:, None] - middles, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        planes = (distances**2 - distances.min(axis=1)[:, None] ** 2) / (2 * apart)
    planes[np.arange(len(own)), own] = np.inf
    return planes.min(axis=1)
