"""Who may redeem what, when and how often; and whom an offer is for."""

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import offer, offer_token, redemption
from app.domain.offer import Gift, Segment, Standing, Target
from app.domain.redemption import Redeemer, Terms

NOW = datetime(2030, 1, 31, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ADA, BOB, PRO, LINK = (UUID(int=n) for n in (1, 2, 3, 4))
REGULAR = Redeemer(ADA, has_paid=True, times_redeemed=2)


@pytest.mark.parametrize(
    ("terms", "refused"),
    [
        ({}, None),
        ({"active": False}, "coupon_inactive"),
        ({"valid_from": NOW}, None),
        ({"valid_from": NOW + DAY}, "coupon_not_yet_valid"),
        ({"redeem_by": NOW + DAY}, None),
        ({"redeem_by": NOW}, "coupon_expired"),
        ({"customer_ids": frozenset({ADA})}, None),
        ({"customer_ids": frozenset({BOB})}, "coupon_not_for_customer"),
        ({"first_time_only": True}, "coupon_first_time_only"),
        ({"max_redemptions": 5, "times_redeemed": 4}, None),
        ({"max_redemptions": 5, "times_redeemed": 5}, "coupon_exhausted"),
        ({"max_redemptions_per_customer": 3}, None),
        ({"max_redemptions_per_customer": 2}, "coupon_already_redeemed"),
    ],
)
def test_terms_are_met_or_say_why_not(terms, refused):
    found = redemption.refusal(Terms(noun="coupon", **terms), REGULAR, NOW)
    assert (found and found.code) == refused
    assert found is None or found.message.endswith(".")


def test_somebody_unknown_is_not_held_against_what_only_concerns_customers():
    terms = Terms(noun="coupon", first_time_only=True, max_redemptions_per_customer=1)
    assert redemption.refusal(terms, Redeemer(), NOW) is None


@pytest.mark.parametrize(
    ("currency", "amount", "is_refused"),
    [("EUR", 1000, False), ("EUR", 999, True), ("USD", 10**6, True)],
)
def test_a_minimum_is_reached_in_its_currency_or_not_at_all(currency, amount, is_refused):
    terms = Terms(noun="promotion_code", minimum_amounts={"EUR": 1000})
    found = redemption.below_minimum(terms, currency, amount)
    assert (found is not None) == is_refused
    assert redemption.below_minimum(replace(terms, minimum_amounts={}), currency, amount) is None


@pytest.mark.parametrize(
    ("fields", "params"),
    [
        ({"redeem_by": NOW + DAY, "valid_from": NOW, "max_redemptions": 1}, []),
        ({"redeem_by": NOW}, ["end_at"]),
        ({"redeem_by": NOW + DAY, "valid_from": NOW + DAY}, ["end_at"]),
        ({"max_redemptions": 0}, ["max_redemptions"]),
        ({"max_redemptions_per_customer": 0}, ["max_redemptions_per_customer"]),
        ({"minimum_amounts": {"EUR": 0}}, ["minimum_amounts"]),
    ],
)
def test_every_problem_of_terms_is_named(fields, params):
    found = redemption.problems(Terms(noun="offer", **fields), NOW, ends="end_at")
    assert [problem.param for problem in found] == params


BACK = Target(segment=Segment.CANCELED_WITHIN_DAYS, segment_days=30)
FIRST = Target(segment=Segment.NEVER_SUBSCRIBED)
ON_PRO = Target(segment=Segment.ON_PLAN, segment_plan_id=PRO)
NEW = Standing()
GONE = Standing(has_subscribed=True, last_ended_at=NOW - 30 * DAY)
LONG_GONE = replace(GONE, last_ended_at=NOW - 31 * DAY)
HERE = Standing(has_subscribed=True, has_running=True, plan_ids=frozenset({PRO}))
BACK_AGAIN = replace(HERE, last_ended_at=NOW - DAY)


@pytest.mark.parametrize(
    ("target", "welcome"),
    [
        (Target(), [NEW, GONE, LONG_GONE, HERE, BACK_AGAIN]),
        (BACK, [GONE]),
        (FIRST, [NEW]),
        (ON_PRO, [HERE, BACK_AGAIN]),
        (replace(FIRST, customer_ids=frozenset({BOB})), []),
    ],
)
def test_an_offer_is_for_its_segment(target, welcome):
    for standing in (NEW, GONE, LONG_GONE, HERE, BACK_AGAIN):
        refused = offer.refusal(target, ADA, standing, NOW)
        assert (refused is None) == (standing in welcome)


@pytest.mark.parametrize(
    ("target", "gift", "params"),
    [
        (Target(), Gift(None, None, 14), []),
        (BACK, Gift(LINK, None, None), []),
        (ON_PRO, Gift(None, LINK, None), []),
        (Target(), Gift(None, None, None), ["coupon_id"]),
        (Target(), Gift(LINK, None, 731), ["trial_days"]),
        (replace(BACK, segment_days=0), Gift(LINK, None, None), ["segment_days"]),
        (replace(BACK, segment_days=None), Gift(LINK, None, None), ["segment_days"]),
        (replace(FIRST, segment_days=1), Gift(LINK, None, None), ["segment_days"]),
        (replace(ON_PRO, segment_plan_id=None), Gift(LINK, None, None), ["segment_plan_id"]),
    ],
)
def test_every_problem_of_an_offer_is_named(target, gift, params):
    assert [problem.param for problem in offer.problems(target, gift)] == params


HASH = offer_token.digest("ol_token")


def test_a_claim_says_which_link_and_until_when():
    token = offer_token.claim_token(LINK, HASH, NOW)
    assert len(token) <= offer_token.TOKEN_CHARS_MAX
    claim = offer_token.read_claim(token)
    assert (claim.link_id, claim.expires_at) == (LINK, NOW)
    assert offer_token.is_signed(claim, HASH)
    assert not offer_token.is_signed(claim, offer_token.digest("ol_another"))
    assert not offer_token.is_signed(claim._replace(expires_at=NOW + DAY), HASH)
    assert not offer_token.is_signed(claim._replace(link_id=ADA), HASH)


@given(st.text(max_size=200) | st.binary(max_size=60).map(lambda raw: f"oc_{raw.hex()}"))
def test_whatever_else_is_sent_is_no_claim(text):
    claim = offer_token.read_claim(text)
    assert claim is None or not offer_token.is_signed(claim, HASH)


@given(st.binary(min_size=56, max_size=56))
def test_bytes_of_the_right_length_are_read_or_refused_but_never_believed(raw):
    claim = offer_token.read_claim("oc_" + base64.urlsafe_b64encode(raw).decode())
    assert claim is None or not offer_token.is_signed(claim, HASH)
