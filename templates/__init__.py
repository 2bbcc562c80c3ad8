"""The forms: text with named holes, filled in by `xsp.render`. No decisions are made here."""
