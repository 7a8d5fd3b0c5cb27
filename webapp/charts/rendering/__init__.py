"""Chart images, rendered in a helper process."""
