"""A set of observations as a Jupyter notebook that opens the archive and makes the set again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def notebook(
    ids: Sequence[str], *, archive: str, version: int, name: str, about: str = "",
    question: Mapping[str, Any] | None = None,
) -> bytes:  # fmt: skip
    """The notebook (nbformat 4.5) of a set.

    Parameters
    ----------
    ids : ``COLLECTION:OBS_ID`` of each member, which hold in every version
    archive : its folder, as the reader of the notebook has it · version : from which it was chosen
    name, about : of the set, plain text · question : arguments of ``Archive.find`` that made it
    """
    chosen = f"{len(ids):,} spectra, chosen from version {version} of an archive of Spectrarium."
    text = [f"# {escape(_line(name))}", "", chosen]
    text += ["", escape(about)] if about else []
    listed = ",\n".join(f"    {one!r}" for one in ids)
    cells = [
        _markdown("\n".join(text)),
        _code(f"import spectrarium as sp\n\narchive = sp.open({archive!r})\narchive"),
        _markdown("The members, by names that hold in every version of the archive:"),
        _code(f"ids = [\n{listed}\n]" if ids else "ids = []"),
        _code("rows = [archive.store.resolve(one) for one in ids]\n"
              'columns = ["obs_collection", "obs_id", "target_name", "class", "snr", "redshift"]\n'
              "archive.store.catalogue(rows, columns)"),
    ]  # fmt: skip
    if question:
        said = ", ".join(f"{key}={value!r}" for key, value in question.items())
        cells += [
            _markdown("The same question asked of the archive as it is now, which may have grown:"),
            _code(f"found = archive.find({said})\nfound.num_rows, len(ids)"),
        ]
    cells += [
        _markdown("One of the spectra, as delivered:"),
        _code("import matplotlib.pyplot as plt\n\nspectrum = archive.read(ids[0])\n"
              "plt.plot(spectrum.wave_aa.ravel(), spectrum.flux.ravel(), lw=0.7)\n"
              'plt.xlabel(f"Wavelength [Å], {spectrum.axis.medium.value}")\n'
              'plt.ylabel(f"Flux [{spectrum.flux_unit or \'unit unknown\'}]")\n'
              "plt.title(ids[0]);"),
        _markdown("All of them as files for other programs: `sdm-votable`, `sdm-fits`, `ecsv`, "
                  "`parquet` or `hats`."),
        _code('# archive.export(ids, "parquet", "spectra")'),
    ]  # fmt: skip
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    book = {"cells": cells, "metadata": {"kernelspec": KERNEL, "language_info": {"name": "python"}},
            "nbformat": 4, "nbformat_minor": 5}  # fmt: skip
    return json.dumps(book, indent=1, ensure_ascii=False).encode("utf-8", "replace")


def _line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text) or "Spectra"


def _markdown(text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": "", "metadata": {}, "source": text}


def _code(text: str) -> dict[str, Any]:
    return {"cell_type": "code", "execution_count": None, "id": "", "metadata": {}, "outputs": [],
            "source": text}  # fmt: skip
