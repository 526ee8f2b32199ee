"""A self-contained mock survey, physically honest and labelled as a mock in every file."""

from .survey import MockSpectrum, MockSurvey, Piece, Truth
from .write import COLLECTION, write_survey

__all__ = ["COLLECTION", "MockSpectrum", "MockSurvey", "Piece", "Truth", "write_survey"]
