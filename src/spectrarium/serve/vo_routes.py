"""Every route of the Virtual Observatory."""

from __future__ import annotations

from starlette.routing import BaseRoute

from . import (
    routes_vo_base,
    routes_vo_coverage,
    routes_vo_datalink,
    routes_vo_similar,
    routes_vo_soda,
    routes_vo_spectrum,
)

MODULES = (
    routes_vo_base,
    routes_vo_coverage,
    routes_vo_datalink,
    routes_vo_similar,
    routes_vo_soda,
    routes_vo_spectrum,
)


def vo_routes() -> list[BaseRoute]:
    """The routes below /vo."""
    return [route for module in MODULES for route in module.ROUTES]
