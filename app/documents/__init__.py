"""Invoices and credit notes as documents: PDF, page, and EN 16931 e-invoice. Pure rendering."""
