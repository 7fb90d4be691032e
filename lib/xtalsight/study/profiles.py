"""Where a profile keeps what it makes, and the parameters that it gives to the notebooks.

A profile is a scale at which the study runs. The notebooks themselves hold the values of ``smoke`` (minutes);
``notebooks/profiles.yaml`` holds what ``full`` (the paper's scale) changes.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from xtalsight.store import replacing, save_json

PROFILES = ("smoke", "full")


def root() -> Path:
    """Return the folder of the study: the nearest one upwards that holds the notebooks, else the working directory."""
    here = Path.cwd()
    return next((p for p in (here, *here.parents) if (p / "notebooks" / "profiles.yaml").exists()), here)


def parameters(notebook: str, profile: str) -> dict:
    """Return the parameters that `profile` sets in `notebook` (name without ending), `profile` itself among them.

    Raises
    ------
    ValueError
        No such profile, or a profile names a notebook that does not exist.
    """
    if profile not in PROFILES:
        raise ValueError(f"{profile=} is none of {', '.join(PROFILES)}")
    folder = root() / "notebooks"
    overrides = yaml.safe_load((folder / "profiles.yaml").read_text())
    named = {name for notebooks in overrides.values() for name in notebooks or {}}
    if unknown := sorted(name for name in named if not (folder / f"{name}.py").exists()):
        raise ValueError(f"{folder / 'profiles.yaml'} sets parameters of {unknown}, which do not exist")
    return {"profile": profile, **(overrides.get(profile) or {}).get(notebook, {})}


@dataclass(frozen=True)
class Run:
    """One notebook's run in one profile: knows the folders, saves results, tables and figures.

    Parameters
    ----------
    notebook : str
        Name of the notebook without ending.
    profile : str
        ``smoke`` or ``full``.
    """

    notebook: str
    profile: str

    def __post_init__(self):
        if self.profile not in PROFILES:
            raise ValueError(f"{self.profile=} is none of {', '.join(PROFILES)}")

    @property
    def folder(self) -> Path:
        """Folder of the profile, ``build/<profile>``."""
        return root() / "build" / self.profile

    def path(self, name: str) -> Path:
        """Return the path of an artefact that notebooks hand on; later notebooks read it by the same name."""
        return self.folder / "artefacts" / name

    def needs(self, notebook: str):
        """Run an earlier notebook now, and what that one needs, if it has not been run in this profile.

        `make` has done so; in Colab or JupyterLab a notebook may be the first that is opened.

        Raises
        ------
        subprocess.CalledProcessError
            The earlier notebook failed; its own error is printed.
        """
        if not (self.folder / "results" / f"{notebook}.json").exists():
            print(f"{self.notebook} needs what {notebook} makes, which has not been run: it is run now.", flush=True)
            script = root() / "notebooks" / f"{notebook}.py"
            subprocess.run([sys.executable, "-m", "xtalsight.study.run", script, "--profile", self.profile], check=True)

    def save_results(self, results: dict):
        """Write the numbers of this notebook, a flat ``{"section.name": number}``; what is not finite becomes None."""
        finite = {key: value if np.isfinite(value) else None for key, value in results.items()}
        save_json(self.folder / "results" / f"{self.notebook}.json", finite)

    def save_figure(self, figure, name: str):
        """Write a matplotlib figure as ``fig_NN_name.png``."""
        with replacing(self.folder / "figures" / self.notebook / f"{name}.png") as temporary:
            figure.savefig(temporary)

    def save_table(self, table: pd.DataFrame, name: str):
        """Write a table, formatted as it is to be read, as ``table_NN_name.md``."""
        with replacing(self.folder / "figures" / self.notebook / f"{name}.md") as temporary:
            temporary.write_text(table.to_markdown(index=False, disable_numparse=True) + "\n")
