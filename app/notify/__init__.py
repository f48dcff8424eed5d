"""Telling others: adapters that carry what happened out of here."""
