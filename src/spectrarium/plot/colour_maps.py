"""Colour maps of even lightness: those of matplotlib by name, and three of Crameri's.

batlow, vik and berlin are from Scientific colour maps (Crameri, Shephard & Heron 2020, Nat.
Commun. 11, 5444; MIT licence, Copyright (c) 2020 Fabio Crameri), as 256 × 3 bytes in base64.
"""

from __future__ import annotations

import base64

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Colormap, ListedColormap

from ..domain.errors import UsageError

NAMES = ("viridis", "cividis", "batlow", "vik", "berlin")
"""vik (light middle) and berlin (dark middle) are for signed values."""
DIVERGING = frozenset({"vik", "berlin"})
_BATLOW = (
    "ARlZAhtZAxxaBB5aBR9aBiFbByJbByRbCCVbCSdcCihcCipcCytcCy1dDC5dDC9dDTFdDTJeDTNeDjVeDjZeDjdeDzhf"
    "DzlfDztfDzxfED1fED5fED9gEEBgEUFgEUJgEUNgEURgEkVhEkZhEkdhEkhhE0lhE0phE0thFExiFE1iFE5iFU9iFU9i"
    "FlBiFlFiF1JiF1NiGFRiGFViGVZiGVdiGldiG1hiG1liHFpiHVtiHlxiHl1iH11hIF5hIV9hImBhI2BgJGFgJWJgJmNf"
    "J2NfKGRfKmVeK2VeLGZdLWddL2dcMGhcMWlbM2laNGpaNWpZN2tYOGxYOmxXO21WPG1WPm5VP25UQW9TQm9SRHBSRXBR"
    "R3FQSHFPSnJOTHJNTXNNT3NMUHRLUnRKU3VJVXVIV3ZHWHZGWndFW3dFXXhEX3hDYHlCYnlBY3pAZXo/Z3s+aHs+ans9"
    "bHw8bXw7b306cX05c344dH44dn83eH82eYA1e4A0fYE0f4EzgYIygoIxhIMxhoMwiIQvioQvjIUujoUuj4YtkYYtk4cs"
    "lYcsl4gsmYgsm4krnYkrn4kroYoro4ospYssp4ssqYwsq4wtrYwtr40usY0vs44vtY4wt44xuY8yu48zvY80vpA1wJA2"
    "wpA3xJE4xpE6yJE7ypI8y5I+zZI/z5NA0ZNC0pND1JRF1pRG2JRI2ZVK25VL3ZVN3pZP4JZR4ZdS45dU5JdW5phY55ha"
    "6Zlc6ple65pg7Zpi7ptk75tn8Jxp8Z1r8p1t855w9J9y9Z909qB396F5+KF7+KJ++aOA+aOC+qSF+qWH+6aJ+6aM/KeO"
    "/KiQ/KmT/KmV/aqX/aua/ayc/aye/a2g/a6i/a+l/a+n/bCp/bGr/bKt/bKv/bOx/bS0/bS2/bW4/ba6/be8/be+/bjA"
    "/bnC/brE/brH/bvJ/bzL/bzN/L3P/L7R/L/T/L/W/MDY/MHa/MLc/MPf/MPh/MTj/MXl+8bo+8bq+8fs+8jv+8nx+8rz"
    "+8r2+sv4+sz6"
)
_VIK = (
    "ABJhARRiARVjARdkARhlARpmAhxnAh1oAh9pAiBqAiJrAiNsAiVtAiduAihvAipwAitxAi1yAi5zAjB0AjF1AjN2AjR3"
    "AjZ4Ajd5Ajl6Ajp7Azx8Az59Az9+A0F/A0KAA0SBA0WCA0eDA0mEA0qFBEyGBE2HBE+IBVGJBVKKBlSLBlaMB1eNCFmP"
    "CVuQC12RDF6SDmCTEGKUEWSWE2aXFWeYF2mZGWuaHG2cHm+dIHGeI3OgJXWhKHeiK3mkLXulMH2mM3+oNoGpOYOrPIWs"
    "P4etQomvRYuwSI2yS5CzTpK0UZS2VJa3V5i5Wpq6XZy7YZ69ZKC+Z6LAaqTBbabCcajEdKrFd6zGeq7IfbDJgLLKhLTM"
    "h7bNirjOjbrQkLzRlL7Sl8DUmsLVncTWoMXYo8fZp8naqsvcrc3dsM/es9HfttPhutXivdbjwNjkw9rlxtvmyd3nzN/o"
    "z+Do0uHp1ePp2OTp2+Xp3ubp4Obp4ufo5efo5+fn6Ofl6ubk6+bi7OXg7eTe7uPc7uHa7uDY7t7V7t3T7tvQ7tnN7dfL"
    "7dXI7NPF7NHD69DA6s696cy66cq46Mi158ay5sSw5cGt5L+q5L6o47yl4rqi4big4Lad37Sa37KY3rCV3a6T3KyQ26qN"
    "26iL2qaI2aSG2KKD16CB1p9+1p181Zt51Jl305d005Vy0pRw0ZJt0JBrz45oz4xmzotkzYlhzIdfzIVdy4NayoJYyYBW"
    "yX5TyHxRx3tPxnlMxndKxXVIxHRFw3JDwnBBwm4/wW08wGs6v2k4vmc2vmUzvWQxvGIvu2Atul4quFwot1omtlgktVUh"
    "s1MfslEdsE8br0wYrUoWq0gUqUUSp0MQpUAPoz4NoTwLnzkKnDcJmjUImDMHljEHlC8GkS0GjysGjSkGiycGiSYGhyQG"
    "hSIGgyEGgR8Gfx4Gfh0GfBsGehoGeBgGdhcGdBUGcxQGcRMHbxEHbRAHbA4Hag0HaAwHZwoHZQkHYwcHYgYHYAQIXgMI"
    "XQIIWwEIWQAI"
)
_BERLIN = (
    "nrD/nLD+mrD9mK/8la/7k6/6ka75jq73jK72iq71h630ha3zgq3ygKzxfqzwe6zueavtdqvsdKrrcarpb6nobKnmaqjl"
    "Z6jjZafiYqbgYKXfXaXdW6TbWKPZVqLXVKDVUZ/TT57RTZ3PS5vNSJrKRpjIRJfGQ5XDQZTBP5K+PpC8PI65O423OYu0"
    "OImyN4evNoWtNYSqM4KoMoCmMn6jMXyhMHqeL3icLnaZLXWXLHOULHGSK2+PKm2NKWuLKWmIKGiGJ2aDJ2SBJmJ/JWB8"
    "JF56JF14I1t1IllzIldxIVVuIFRsIFJqH1BoHk5lHk1jHUthHElfHEdcG0ZaGkRYGkJWGUFTGT9RGD1PFzxNFzpLFjhJ"
    "FjdHFTVEFTNCFDJAFDA+Ey88Ey06Eiw4Eio2Eik0EScyESYwESQuESMsESEqESAoEB8mEB0lEBwjERshERogERkeERgc"
    "ERYbERUZERQYERMXEhIVEhIUExESFBARFA8QFQ4OFg4NFw0LGAwKGQwJGgwIGwsHHAsGHQsFHgsEIAsEIQsDIgwCIwwC"
    "JAwCJQwBJg0BJw0BKA0BKg4BKw4BLA4ALQ4ALw4AMA8AMQ8AMw8ANA8ANRAANxAAOBAAOREAOxEAPBEBPhIBPxIBQRIB"
    "QhMBRBMBRRQBRxQBSBUCShUCSxYCTRYCTxcDUBgDUhgEVBkFVhoFVxsGWRwHWx0IXR4JXx8KYSALYyEMZSMOaCQPaiUQ"
    "bCcRbigTcCoUcysWdS0Xdy8ZeTAbezIcfTQegDYggjcihDkkhjsmiD0oij8qjEAsjkIukEQwkkYylEg0lko2mEw5mk07"
    "nE89nlE/oFNBolVEpFdGpllIqFpKqlxMrF5PrmBRsGJTsmRVtGZYtmhauGpcumtfvG1hvm9jwHFlwnNoxHVqxndsyHlv"
    "yntxzH1zzn920IF40oN61YV914d/2YmC24uE3Y2G34+J4ZGL45OO5ZWQ55eS6pmV7JuX7p2a8J+c8qGf9KOh9qWj+aem"
    "+6mo/aur/62t"
)
_OWN = {"batlow": _BATLOW, "vik": _VIK, "berlin": _BERLIN}


def colour_map(name: str) -> Colormap:
    """A map by its name, ``NAME_r`` run the other way. Raises UsageError (no_colour_map)."""
    bare = name.removesuffix("_r")
    if bare not in NAMES:
        raise UsageError(f"there is no colour map {name!r}", code="no_colour_map", where="cmap",
                         remedy=f"choose one of {', '.join(NAMES)}, or one with _r")  # fmt: skip
    if bare in _OWN:
        levels = np.frombuffer(base64.b64decode(_OWN[bare]), np.uint8).reshape(256, 3) / 255.0
        found: Colormap = ListedColormap(levels, bare)
    else:
        found = colormaps[bare]
    return found.reversed() if name.endswith("_r") else found
