"""The science benchmark: every encoder against chance, raw pixels and PCA, with intervals."""
