"""What a failed connection test means, in words that a person can act on."""

from __future__ import annotations

from airflow_provider_braze.api.errors import (
    BrazeConnectError,
    BrazeError,
    BrazeForbiddenError,
    BrazeNotFoundError,
    BrazeRateLimitError,
    BrazeResponseError,
    BrazeServerError,
    BrazeUnauthorizedError,
    BrazeUnknownOutcomeError,
)

_REST_HOST = "the REST endpoint of your instance, for example rest.iad-01.braze.com"


NOT_BRAZE = f"Wrong host: it answers, but not as Braze's REST API. Use {_REST_HOST}, without a path."
_TEXTS: dict[type[BrazeError], str] = {
    BrazeUnauthorizedError: (
        "Wrong key, or wrong instance: Braze does not accept this key on this host. The REST API key must be whole, "
        "and the REST endpoint that of its instance, such as rest.iad-01.braze.com: a key is valid on one instance "
        "only."
    ),
    BrazeForbiddenError: (
        "Missing permission: the host is right and Braze knows the key, but it may not call campaigns.list, which this "
        "test uses. Sending may work all the same. To make the test pass, make a key that also has campaigns.list (the "
        "permissions of an existing key cannot be changed), and look at its allowed IP addresses."
    ),
    BrazeNotFoundError: NOT_BRAZE,
    BrazeRateLimitError: "The key is in order, but its quota is used up at the moment; try again later.",
    BrazeServerError: "Braze has trouble at the moment; try again later.",
    BrazeConnectError: f"Wrong host, or no way to it from here. Use {_REST_HOST}.",
    BrazeUnknownOutcomeError: (
        f"Wrong host, or a slow one: no answer of Braze's REST API came back in time. Use {_REST_HOST}, and look at "
        "the connection's timeout."
    ),
}


def verdict(error: BrazeError) -> str:
    """Explain why the test call failed, and what to do."""
    if isinstance(error, BrazeResponseError) and not error.readable and error.status < 500:
        return f"{_TEXTS[BrazeNotFoundError]} It answered {error.status}: {error.message}."
    text = next((text for kind, text in _TEXTS.items() if isinstance(error, kind)), None)
    if isinstance(error, BrazeResponseError):
        return f'{text or "Braze refused the test call."} It said: "{error.message}".'
    if isinstance(error, BrazeUnknownOutcomeError):
        return f"{text} What happened: {error.reason}."
    return text or str(error)
