"""Every route of the Virtual Observatory."""

from __future__ import annotations

from starlette.routing import BaseRoute

from . import (
    routes_vo_async,
    routes_vo_base,
    routes_vo_cone,
    routes_vo_coverage,
    routes_vo_datalink,
    routes_vo_hips,
    routes_vo_registry,
    routes_vo_similar,
    routes_vo_slap,
    routes_vo_soda,
    routes_vo_spectrum,
    routes_vo_ssap,
    routes_vo_tap,
)

MODULES = (
    routes_vo_async,
    routes_vo_base,
    routes_vo_cone,
    routes_vo_coverage,
    routes_vo_datalink,
    routes_vo_hips,
    routes_vo_registry,
    routes_vo_similar,
    routes_vo_slap,
    routes_vo_soda,
    routes_vo_spectrum,
    routes_vo_ssap,
    routes_vo_tap,
)


def vo_routes() -> list[BaseRoute]:
    """The routes below /vo."""
    return [route for module in MODULES for route in module.ROUTES]
