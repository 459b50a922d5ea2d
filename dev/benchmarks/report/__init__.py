"""Figures as text: a table, JSON, a comparison, a page. Nothing is measured here."""
