"""Stripe: cards, wallets and bank debits through payment intents, spoken to over plain HTTP."""

from app.gateways.stripe.adapter import StripeGateway

__all__ = ["StripeGateway"]
