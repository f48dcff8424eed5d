"""How a merchant's documents look, as callers see it: one version of it."""

from app.db.views.base import View

DOCUMENT_SETTINGS = View(
    object="document_settings",
    prefix="dset",
    table="document_settings",
    columns="""
        t.id, t.legal_name, t.address, t.tax_id, t.registration_number, t.email, t.phone,
        t.website,
        (SELECT json_build_object('media_type', p.media_type,
                'data', translate(encode(p.data, 'base64'), E'\\n', ''))
         FROM document_logos p
         WHERE p.merchant_id = t.merchant_id AND p.digest = t.logo_digest) AS logo,
        t.accent_color, t.footer, t.payment_instructions, t.account_holder, t.iban, t.bic,
        t.default_language, t.created_at, t.version
    """,
)
