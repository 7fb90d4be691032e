"""Files from practice: each gets the right class, or, where the table allows it, a refusal; never what it must not be."""

import csv
import json

import pytest

from xtalsight.classify import classify, read_structures
from xtalsight.profiles import root

CASES = root() / "tests" / "cases"
ROWS = list(csv.DictReader((CASES / "cases.csv").read_text().splitlines()))


def frames(path):
    """Whole frames of a file, and the sentence with which reading ends, if it does."""
    found = []
    try:
        found.extend(read_structures(path))
    except ValueError as error:
        return found, str(error)
    return found, None


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["file"])
def test_case(row):
    structures, sentence = frames(CASES / row["file"])
    assert structures
    assert (sentence is not None) == ("trunc" in row["file"])
    for answer in map(classify, structures):
        if answer["verdict"] == "one of the seven":
            assert answer["class"] == row["right"]
            assert answer["reason"] is None
        else:
            assert row["may_refuse"] == "1", answer["reason"]
            assert answer["reason"]


def test_solid_and_liquid_in_one_cell_are_not_one_crystal_wherever_the_cell_begins():
    answers = [classify(frames(CASES / row["file"])[0][0]) for row in ROWS if row["file"].startswith("24")]
    assert len(answers) == 2
    assert [a["verdict"] for a in answers] == ["none of the seven"] * 2
    assert all("more than one crystal" in a["reason"] and "use map" in a["reason"] for a in answers)
    assert answers[0]["places"] == answers[1]["places"]


def test_coordinates_of_few_digits_do_not_hide_the_space_group():
    (crystal,), _ = frames(CASES / "09m_hcp_lowprec.cif")
    assert classify(crystal)["spacegroup"] == 194


def test_answers_can_be_written_as_json():
    (crystal,), _ = frames(CASES / "17d_In_in_nm.xyz")
    assert json.loads(json.dumps(classify(crystal)))["class"] == "bct_139"
