"""The judges of Stripe's adapter and of our fake, judged: what is wrong they must refuse."""

from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from stripe._encode import _api_encode

from app.gateways.stripe.wire import API_VERSION, fields
from tests.gateways import specs
from tests.gateways.fakes.stripe import objects
from tests.gateways.fakes.stripe.books import Books
from tests.gateways.fakes.stripe.cards import NAMED
from tests.gateways.oracles import stripe_spec, stripe_types
from tests.gateways.stripe import StripeFake, charge_of

GOOD = {
    "amount": 1234,
    "currency": "eur",
    "customer": "cus_1",
    "payment_method": "pm_1",
    "confirm": True,
    "off_session": True,
    "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
    "metadata": {"perennial_attempt": "x1"},
    "expand": ["latest_charge.balance_transaction"],
}
PATH = "/v1/payment_intents"
SINCE_THE_FILE = {"payment_method_types": ["card"]}
"""What the file of 2023 allows and the pinned version does not any more."""


def spec() -> stripe_spec.Spec:
    specs.load(*stripe_spec.FILE)  # skips, loudly, where it is absent
    return stripe_spec.spec()


def form(body: dict[str, Any]) -> bytes:
    return urlencode(fields(body)).encode()


def by_file(body: dict[str, Any], path: str = PATH) -> list[str]:
    return spec().request_faults("POST", path, "", stripe_spec.FORM, form(body))


def by_types(body: dict[str, Any], path: str = PATH) -> list[str]:
    return stripe_types.request_faults("POST", path, "", form(body))


def test_what_is_right_passes_both_judges() -> None:
    assert by_types(GOOD) == []
    assert by_file(GOOD) == []


WRONG = [
    ({"amount": None}, "a charge without an amount"),
    ({"amount": "12.34"}, "an amount with a point"),
    ({"amount": "lots"}, "an amount in words"),
    ({"currency": None}, "a charge without a currency"),
    ({"capture_method": "later"}, "a way of capturing that there is not"),
    ({"off_session": "maybe"}, "an unknown word for off-session"),
    ({"ofsession": True}, "a parameter that is misspelt"),
    ({"metadata": "x1"}, "metadata that is no object"),
    ({"expand": "latest_charge"}, "a list that is none"),
    ({"automatic_payment_methods": {"allow_redirects": "never"}}, "half of an object"),
    ({"automatic_payment_methods": {"enabled": True, "allow_redirects": "no"}}, "a bad word in it"),
]


OPEN_WORDS = {
    "a way of capturing that there is not",
    "an unknown word for off-session",
    "a bad word in it",
}
"""The SDK's types take any word where the file has a list: words may be added at any time."""


@pytest.mark.parametrize(("change", "what"), WRONG, ids=[what for _, what in WRONG])
def test_what_is_wrong_neither_judge_lets_pass(change: dict[str, Any], what: str) -> None:
    assert by_file(GOOD | change)
    if what not in OPEN_WORDS:
        assert by_types(GOOD | change)


def test_unknown_parameters_are_refused_however_deep_they_lie() -> None:
    card = {"payment_method_options": {"card": {"bogus": 1}}}
    assert by_types(GOOD | card)


def test_what_later_versions_refuse_only_the_types_of_the_sdk_know() -> None:
    assert by_file(GOOD | SINCE_THE_FILE) == []
    assert by_types(GOOD | SINCE_THE_FILE)


def test_the_file_refuses_other_bodies_paths_and_queries() -> None:
    judge = spec()
    assert judge.request_faults("POST", PATH, "", "application/json", b'{"amount": 1}')
    assert judge.request_faults("POST", "/v1/payments", "", stripe_spec.FORM, form(GOOD))
    assert judge.request_faults("POST", PATH, "", stripe_spec.FORM, b"")
    assert judge.request_faults("GET", PATH, "metadata[a]=b", "", b"")
    assert judge.request_faults("GET", PATH, "limit=many", "", b"")
    assert not judge.request_faults("GET", PATH, "customer=cus_1&created[gte]=5", "", b"")


def test_the_types_refuse_what_our_adapter_has_no_business_with() -> None:
    assert stripe_types.request_faults("POST", "/v1/payouts", "", b"amount=1&currency=eur")
    assert stripe_types.request_faults("DELETE", "/v1/customers/cus_1", "", b"")
    assert stripe_types.request_faults("GET", PATH, "query=x", b"")


async def test_our_fake_reports_what_its_judges_refuse(stripe_process: StripeFake) -> None:
    def found_by(path: str, content: bytes, **headers: str) -> list[str]:
        before = len(stripe_process.faults_found())
        given = {"Authorization": "Bearer sk_test_fake", "Stripe-Version": API_VERSION}
        given |= {"Idempotency-Key": "k", "Content-Type": stripe_spec.FORM} | headers
        stripe_process.client.post(path, content=content, headers=given)
        return stripe_process.faults_found()[before:]

    assert found_by(PATH, form(GOOD | {"currency": None}))
    assert found_by(PATH, form(GOOD), **{"Stripe-Version": "2020-08-27"})
    assert found_by(PATH, form(GOOD), **{"Idempotency-Key": "k" * 256})
    assert found_by(PATH, form(GOOD)) == []


# Whether our fake is what Stripe's answers are like


def test_our_fakes_objects_are_as_the_file_describes_them() -> None:
    judge = spec()
    for name, one in whole_objects().items():
        assert judge.answer_faults(name, one) == [], name
        assert judge.answer_faults(name, one | {"id": 5}), f"{name}: the judge sleeps"


LEFT_OUT = {
    "charge": {"refunds"},  # not shown since 2022-11-15 unless it is expanded
    "customer": set(),
}


def test_our_fakes_objects_have_every_field_of_the_official_examples() -> None:
    examples = specs.load("stripe", "fixtures3-2026-08-21.trimmed.json")["resources"]
    for name, one in whole_objects().items():
        absent = examples[name].keys() - one.keys() - LEFT_OUT.get(name, set())
        if name == "payment_method" and one["type"] != "card":
            absent -= {"card"}
        assert not absent, f"{name} lacks {absent}"


def test_the_official_examples_pass_the_judge_of_answers() -> None:
    judge = spec()
    examples = specs.load("stripe", "fixtures3-2023-09-12.trimmed.json")["resources"]
    for name in whole_objects():
        if name in examples:
            assert judge.answer_faults(name, examples[name]) == [], name


def whole_objects() -> dict[str, dict[str, Any]]:
    """One of each, as our fake makes them."""
    books = Books()
    card = NAMED["pm_card_visa"]
    owner = books.keep(objects.customer("cus_1", 1, {"email": "a@b.example"}))
    method = books.keep(objects.payment_method("pm_1", 1, card, owner))
    intent = objects.payment_intent(
        "pi_1", 1, {"amount": 5, "currency": "eur", "payment_method": "pm_1"}
    )
    books.keep(intent)
    charge = books.keep(objects.charge("ch_1", 1, intent, card))
    moved = books.keep(objects.balance_transaction("txn_1", 1, charge, 5, 1))
    refund = books.keep(objects.refund("re_1", 1, charge, {"amount": 5}))
    dispute = books.keep(objects.dispute("du_1", 1, charge, "needs_response"))
    dispute["balance_transactions"] = ["txn_1"]
    setup = books.keep(objects.setup_intent("seti_1", 1, {"customer": "cus_1"}))
    setup["payment_method"] = "pm_1"
    attempt = objects.setup_attempt("setatt_1", 1, setup, {"type": "card", "card": {}}, "succeeded")
    mandate = objects.mandate("mandate_1", method)
    books.tell("charge.succeeded", charge)
    [event] = books.events
    made = (owner, method, intent, charge, moved, refund, dispute, setup, attempt, mandate, event)
    return {one["object"]: books.shown(one) for one in made}


# Whether our way of writing is Stripe's own


def test_forms_are_written_as_the_sdk_writes_them() -> None:
    ours = dict(fields(GOOD | {"nothing": None}))
    theirs = {name: str(value) for name, value in _api_encode(GOOD)}
    assert {name: value.lower() for name, value in ours.items()} == {
        name: value.lower() for name, value in theirs.items()
    }


def test_the_api_version_is_the_one_of_the_judges() -> None:
    assert API_VERSION == stripe_types.API_VERSION


async def test_a_charge_is_asked_for_as_another_project_does(stripe: StripeFake) -> None:
    """Juspay's connector sends the same call, but for what its older version made it say."""
    golden = specs.load("thirdparty", "juspay-golden-requests.json")["stripe"][
        "recurring_charge/default"
    ]
    gateway = stripe.open()
    await gateway.charge(charge_of(stripe))
    await gateway.aclose()
    sent = [one for one in stripe.ask("requests") if one["method"] == "POST"][-1]

    assert golden["url"].endswith(sent["path"])
    ours = {name.partition("[")[0] for name, _ in parse_qsl(sent["body"])}
    theirs = {
        name.partition("[")[0] for name, _ in parse_qsl(golden["body"], keep_blank_values=True)
    }
    assert theirs - ours == {"return_url"}  # we say that there will be no page to return from
    assert ours - theirs == {"automatic_payment_methods", "description"}
