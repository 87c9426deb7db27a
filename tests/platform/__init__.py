"""A whole simulated hosting platform behind a real HTTPS API: for real processes that are killed, and for the demo."""
