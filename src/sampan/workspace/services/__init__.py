"""What is live: servers, rollouts, logs, monitors, incidents."""
