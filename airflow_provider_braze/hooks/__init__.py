"""Airflow hooks for Braze."""
