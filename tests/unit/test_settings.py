"""Settings: lists by comma or as JSON, and what cannot be read names its variable."""

from __future__ import annotations

import pytest
from pydantic import Field

from spectrarium.domain.errors import UsageError
from spectrarium.settings import Settings


@pytest.mark.parametrize("variable", ["names", "vo_upload_hosts"])
@pytest.mark.parametrize(("text", "hosts"), [
    ("example.org", ("example.org",)), ("a.org,b.org", ("a.org", "b.org")),
    (" a.org , b.org, ", ("a.org", "b.org")), ('["a.org", "b.org"]', ("a.org", "b.org")),
    ("", ()), ("[]", ()),
])  # fmt: skip
def test_lists_are_given_by_comma_or_as_json(monkeypatch, variable, text, hosts):
    monkeypatch.setenv(f"SPECTRARIUM_{variable.upper()}", text)
    assert getattr(Settings(), variable) == hosts


@pytest.mark.parametrize("text", ["[a.org", "[1, 2]", '[["a.org"]]'])
def test_a_list_that_is_none_names_its_variable(monkeypatch, text):
    monkeypatch.setenv("SPECTRARIUM_VO_UPLOAD_HOSTS", text)
    with pytest.raises(UsageError) as found:
        Settings()
    assert (found.value.code, found.value.where) == ("bad_setting", "SPECTRARIUM_VO_UPLOAD_HOSTS")


def test_what_cannot_be_decoded_names_its_variable(monkeypatch):
    """Fields to come, whose text pydantic-settings takes for JSON by itself."""

    class More(Settings):
        orders: list[int] = Field(default_factory=list)

    monkeypatch.setenv("SPECTRARIUM_ORDERS", "1;2")
    with pytest.raises(UsageError) as found:
        More()
    assert (found.value.code, found.value.where) == ("bad_setting", "SPECTRARIUM_ORDERS")
