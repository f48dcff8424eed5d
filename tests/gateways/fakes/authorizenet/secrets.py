"""The credentials of the fake's one account: of the right shape, and worth nothing."""

LOGIN = "5KP3u95bQpv"
KEY = "346HZ32z3fP4hTG2"
CLIENT_KEY = "6J3Q2uR9aXf8cW5vN7mK4tY1bZ0dL2sP"
SIGNATURE_KEY = "52CB4A00" * 16
