"""From submitted form fields to settings, and back."""
