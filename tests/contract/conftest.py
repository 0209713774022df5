import pytest
from contract_data import Judges, contract

from airflow_provider_braze.emulator import BrazeEmulator


@pytest.fixture(scope="session")
def judges():
    """Braze with nobody in it and quotas that no test uses up."""
    buckets = contract("errors_and_limits")["rate_limits"]["buckets"]
    plenty = {name: 10**9 for name, bucket in buckets.items() if bucket["limit"]}
    with BrazeEmulator(seed={"users": [], "rate_limits": plenty}) as emulator:
        asked = Judges(emulator.url, emulator.api_key)
        yield asked
        asked.close()
