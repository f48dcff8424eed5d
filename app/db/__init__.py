"""Adapters to PostgreSQL: the only SQL of the service."""
