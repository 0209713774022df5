"""Braze's REST API as typed Python. Knows nothing of Airflow."""
