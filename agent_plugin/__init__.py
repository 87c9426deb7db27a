"""The part that stands alone inside a guest; it imports nothing of the controller. Python 3.10 and newer."""
