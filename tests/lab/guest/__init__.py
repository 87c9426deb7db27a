"""Programs that run inside the lab's guests, with the standard library only; nothing here knows the host."""
