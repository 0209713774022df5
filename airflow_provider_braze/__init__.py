"""Apache Airflow provider for Braze messaging."""

__version__ = "0.1.0"
