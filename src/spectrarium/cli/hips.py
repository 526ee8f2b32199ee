"""``spectrarium hips``."""

from __future__ import annotations

from pathlib import Path

import click

from ..settings import Settings
from .output import archive_option, console, emit, json_option, opened, progress_bar


@click.command()
@click.option("--out", "-o", type=click.Path(path_type=Path), default=Path("hips"),
              show_default=True, help="Folder to write into.")  # fmt: skip
@click.option("--where", default=None, help="Only observations that meet this filter.")
@click.option("--title", default=None, help="What the archive is called.")
@click.option("--authority", default=None, help="Authority of the map's identifier.")
@click.option("--url", default=None, help="Address that the folder will be served at.")
@archive_option
@json_option
def command(
    out: Path, where: str | None, title: str | None, authority: str | None, url: str | None,
    folder: Path | None, version: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Where the spectra are on the sky: a density map (HiPS) for Aladin and any web server.

    `serve` has the same map of what each visitor may see at /vo/hips. Authority and title are
    those of $SPECTRARIUM_VO_AUTHORITY and $SPECTRARIUM_VO_TITLE where they are not given.
    """
    from ..publish.density import counted, hips_of, write_hips
    from ..publish.publisher import Publisher
    from ..serve.vo_settings import vo_settings

    said = {"title": title, "authority": authority}
    vo = vo_settings(Settings(), {k: v for k, v in said.items() if v is not None})
    store = opened(folder, version).store
    publisher = Publisher(vo.title, vo.authority, vo.contact, vo.contact_name)
    hips = hips_of(counted(store, store.find(where)), publisher, url or "")
    with progress_bar() as bar:
        written = write_hips(hips, out, bar)
    if not written:
        raise click.Abort
    order, spectra = hips.density.tile_order, hips.density.total
    if as_json:
        emit({"path": str(out), "files": written, "order": order, "spectra": spectra})
    else:
        console.print(f"{out}: {written:,} files of {spectra:,} spectra, orders 0 to {order}",
                      markup=False)  # fmt: skip
