"""Billing settings over HTTP: defaults, changes, and what is no dial."""

from tests.api.conftest import Api


async def test_settings_begin_at_their_defaults_and_change_one_by_one(api: Api) -> None:
    path = "/v1/billing_settings"
    found = (await api.get(path, status=200)).json()
    assert (found["proration_basis"], found["downgrade"]) == ("second", "period_end")
    changed = await api.patch(path, {"proration_basis": "day", "invoice_grace_days": 2}, status=200)
    assert changed.json() == found | {"proration_basis": "day", "invoice_grace_days": 2}
    back = await api.patch(path, {"proration_basis": None}, status=200)
    assert back.json() == found | {"invoice_grace_days": 2}


async def test_what_is_no_dial_or_no_value_of_one_is_refused(api: Api) -> None:
    path = "/v1/billing_settings"
    for body in ({"no_dial": "x"}, {"rounding": "up"}, {"invoice_grace_days": 61}):
        problem = (await api.patch(path, body, status=422)).json()
        assert problem["errors"][0]["param"] in body
