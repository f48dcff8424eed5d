"""The oracle refuses what the real server would refuse, and knows real answers from wrong ones."""

import json
from typing import Any

import pytest

from tests.gateways import specs
from tests.gateways.fakes.authorizenet.process import FakeAuthorizeNet

AUTHENTICATION = {"name": "name", "transactionKey": "key"}
ANSWERS = {
    "charge": "createTransaction",
    "prior_auth": "createTransaction",
    "refund": "createTransaction",
    "void": "createTransaction",
    "create_customer_profile": "createCustomerProfile",
    "create_customer_payment_profile": "createCustomerPaymentProfile",
    "unsettled": "getUnsettledTransactionList",
    "no_records": "getUnsettledTransactionList",
    "transaction_details": "getTransactionDetails",
}
PLACEHOLDER = ("no text with two decimals", "SimpleFacetValueError")
"""What the oracle may have against requests of others: bare numbers as amounts, and words in the
place of ids."""


def transaction(**elements: Any) -> dict[str, Any]:
    body = {"merchantAuthentication": AUTHENTICATION, "refId": "123"}
    return {"createTransactionRequest": body | {"transactionRequest": elements}}


CARD = {"creditCard": {"cardNumber": "4111111111111111", "expirationDate": "2031-03"}}
RIGHT = {"transactionType": "authCaptureTransaction", "amount": "7.77", "payment": CARD}


def test_a_right_request_passes(fake: FakeAuthorizeNet) -> None:
    assert fake.do("judge", request=transaction(**RIGHT)) == []


def test_the_order_that_a_real_server_refused_is_refused(fake: FakeAuthorizeNet) -> None:
    # github.com/AuthorizeNet/sample-code-csharp/issues/106: `order` after `billTo`, answered E00003
    # with the elements that may follow `billTo`: shipTo and later ones, so not `order`.
    wrong = RIGHT | {"billTo": {"zip": "85308"}, "order": {"invoiceNumber": "1231"}}
    found = fake.do("judge", request=transaction(**wrong))
    assert "createTransactionRequest.transactionRequest: order must come before billTo" in found
    right = RIGHT | {"order": {"invoiceNumber": "1231"}, "billTo": {"zip": "85308"}}
    assert fake.do("judge", request=transaction(**right)) == []


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (RIGHT | {"amount": 7.77}, "no text with two decimals"),
        (RIGHT | {"amount": "7.775"}, "no text with two decimals"),
        (RIGHT | {"amount": "7"}, "no text with two decimals"),
        (RIGHT | {"amount": "seven"}, "no text with two decimals"),
        (RIGHT | {"colour": "blue"}, "unknown element colour"),
        (RIGHT | {"order": {"invoiceNumber": "1" * 21}}, "maxLength"),
        (RIGHT | {"order": {"description": "d" * 256}}, "maxLength"),
        (RIGHT | {"order": {"description": "d", "invoiceNumber": "1"}}, "must come before"),
        (RIGHT | {"payment": {"creditCard": {"cardNumber": "411"}}}, "minLength"),
        (
            RIGHT
            | {"payment": {"creditCard": {"expirationDate": "2031-03", "cardNumber": "4111"}}},
            "must come before",
        ),
        (RIGHT | {"profile": {"customerProfileId": "cus_1"}}, "pattern"),
        (RIGHT | {"processingOptions": {"isSubsequentAuth": "perhaps"}}, "boolean"),
        (
            RIGHT | {"subsequentAuthInformation": {"reason": "because"}},
            "enumeration",
        ),
        ({"amount": "7.77", "transactionType": "authCaptureTransaction"}, "must come before"),
    ],
)
def test_wrong_requests_are_refused(
    fake: FakeAuthorizeNet, wrong: dict[str, Any], complaint: str
) -> None:
    found = fake.do("judge", request=transaction(**wrong))
    assert any(complaint in each for each in found), found


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"makeMoneyRequest": {}}, "no such request"),
        ({"createTransactionResponse": {}}, "no such request"),
        ({}, "one root"),
        ({"getTransactionDetailsRequest": {"transId": "1"}}, "UnrecognizedContentError"),
        (
            {
                "getTransactionDetailsRequest": {
                    "transId": "1",
                    "merchantAuthentication": AUTHENTICATION,
                }
            },
            "merchantAuthentication must come before transId",
        ),
        (
            {
                "getUnsettledTransactionListRequest": {
                    "merchantAuthentication": AUTHENTICATION,
                    "paging": {"limit": 1001, "offset": 1},
                }
            },
            "maxInclusive",
        ),
        (
            {
                "createCustomerProfileRequest": {
                    "merchantAuthentication": AUTHENTICATION,
                    "profile": {"merchantCustomerId": "c" * 21},
                }
            },
            "maxLength",
        ),
        (
            {
                "createCustomerProfileRequest": {
                    "merchantAuthentication": AUTHENTICATION,
                    "profile": {"merchantCustomerId": "c"},
                    "validationMode": "deadMode",
                }
            },
            "enumeration",
        ),
    ],
)
def test_wrong_calls_are_refused(
    fake: FakeAuthorizeNet, wrong: dict[str, Any], complaint: str
) -> None:
    found = fake.do("judge", request=wrong)
    assert any(complaint in each for each in found), found


def test_the_fake_answers_a_wrong_order_as_the_real_server_does(
    process: FakeAuthorizeNet,
) -> None:
    wrong = RIGHT | {"billTo": {"zip": "85308"}, "order": {"invoiceNumber": "1231"}}
    answer = process.client.post("/xml/v1/request.api", json=transaction(**wrong))
    assert answer.status_code == 200
    assert answer.content.startswith(b"\xef\xbb\xbf")
    [message] = json.loads(answer.content.decode("utf-8-sig"))["messages"]["message"]
    assert message["code"] == "E00003"
    assert process.do("complaints")["refused"]


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("createTransactionResponse", {"transactionResponse": {"responseCode": "1"}}),
        ("createTransactionResponse", {"transactionResponses": {}}),
        ("getTransactionDetailsResponse", {"transaction": {"transId": "many"}}),
        ("noSuchResponse", {}),
    ],
)
def test_wrong_answers_are_noticed(
    fake: FakeAuthorizeNet, name: str, wrong: dict[str, Any]
) -> None:
    assert fake.do("judge_answer", name=name, answer=wrong)


def test_real_answers_pass(fake: FakeAuthorizeNet) -> None:
    answers = specs.load("authorizenet", "answers.json")
    for name, answer in answers.items():
        kind = max((k for k in ANSWERS if name.startswith(k)), key=len)
        assert fake.do("judge_answer", name=f"{ANSWERS[kind]}Response", answer=answer) == [], name
    assert len(answers) == 12


def test_what_another_implementation_sends_passes(fake: FakeAuthorizeNet) -> None:
    golden = specs.load("thirdparty", "juspay-golden-requests.json")["authorizedotnet"]
    judged = 0
    for name, call in golden.items():
        request = json.loads(call["body"])
        if not call["url"]:
            continue  # a delivery to us, no request
        judged += 1
        for complaint in fake.do("judge", request=request):
            assert any(allowed in complaint for allowed in PLACEHOLDER), (name, complaint)
    assert judged >= 9
