"""The page and its HTTP interface: the only place that imports a web framework."""
