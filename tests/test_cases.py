"""Files from practice: each gets the right class, or, where the table allows it, a refusal; never what it must not
be."""

import csv
import json
from functools import cache

import pytest

from xtalsight.classify import classify, load_prototypes, read_structures
from xtalsight.study.profiles import root

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


@cache
def answers_to(file):
    """The answer to each whole frame of a file, and the sentence with which reading ends, if it does."""
    structures, sentence = frames(CASES / file)
    return [classify(atoms) for atoms in structures], sentence


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["file"])
def test_case(row):
    answers, sentence = answers_to(row["file"])
    assert answers
    assert (sentence is not None) == ("trunc" in row["file"])
    for answer in answers:
        if row["prototype"]:
            is_compound(answer, row)
        elif answer["verdict"] == "one of the seven":
            assert answer["class"] == row["right"]
            assert answer["reason"] is None
        else:
            assert row["may_refuse"] == "1", answer["reason"]
            assert answer["reason"]


def is_compound(answer, row):
    """Named as the prototype of the row, with the class of its places; or refused, where it may be."""
    assert (answer["kinds"], answer["verdict"]) == ("ordered", "none of the seven")
    if answer["prototype"]["verdict"] == "refused":
        assert row["may_refuse"] == "1", answer["prototype"]["reason"]
        assert answer["prototype"]["reason"]
        return
    assert row["prototype"] in answer["prototype"]["name"].split(" or ")
    assert answer["class"] == row["right"]
    assert answer["reason"].startswith(
        f"a compound: {answer['prototype']['title']}; the places of its atoms alone are "
    )


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["file"])
def test_what_is_accepted_as_a_prototype_does_not_contradict_the_class(row):
    classes = {group["name"]: group["class"] for group in load_prototypes()[1]["groups"]}
    for answer in answers_to(row["file"])[0]:
        if answer["prototype"]["verdict"] == "accepted" and answer["verdict"] == "one of the seven":
            assert classes[answer["prototype"]["name"]] == answer["class"]


@pytest.mark.parametrize("file", ["14b_sqs_fcc24.vasp", "14e_hea_bcc54_HfNbTaTiZr.vasp", "14g_sqs_hcp24.vasp"])
def test_alloys_have_kinds_without_order(file):
    (answer,), _ = answers_to(file)
    assert (answer["kinds"], answer["verdict"]) == ("without order", "one of the seven")
    assert any("kinds without order" in note for note in answer["notes"])


def test_solid_and_liquid_in_one_cell_are_not_one_crystal_wherever_the_cell_begins():
    answers = [answers_to(row["file"])[0][0] for row in ROWS if row["file"].startswith("24")]
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
