"""Conversion of submitted form fields to settings, and back."""
