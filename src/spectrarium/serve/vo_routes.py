"""Every route of the Virtual Observatory."""

from __future__ import annotations

from starlette.routing import BaseRoute

from . import routes_vo_base, routes_vo_soda

MODULES = (routes_vo_base, routes_vo_soda)


def vo_routes() -> list[BaseRoute]:
    """The routes below /vo."""
    return [route for module in MODULES for route in module.ROUTES]
