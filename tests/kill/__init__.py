"""Real worker processes, killed with SIGKILL at every point of a rollout."""
