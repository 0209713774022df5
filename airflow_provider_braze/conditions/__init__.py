"""What a wait asks of Braze, and what the answers mean. Knows nothing of Airflow."""
