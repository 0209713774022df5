"""One audience, many requests, everybody once. Knows ``api``, not operators."""
