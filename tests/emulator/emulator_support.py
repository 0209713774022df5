"""What the emulator's tests share: names of the default seed, and a small client."""

import httpx

WEEKLY = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
GOLD_ONLY = "9c3b7d20-6e51-4f8a-b1c2-3d4e5f607182"
PAUSED = "b4d6e8f0-1a2c-4e3f-9b8d-7c6a5f4e3d2c"
ARCHIVED = "c5e7f901-2b3d-4f40-8c9e-8d7b604f5e3d"
SEND = "/campaigns/trigger/send"
LIST = "/campaigns/list"


class Caller:
    """A client with the seed's first key."""

    def __init__(self, url, key):
        self.http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=10)

    def send(self, **body):
        return self.http.post(SEND, json={"campaign_id": WEEKLY, **body})

    def to(self, *recipients, **fields):
        people = [one if isinstance(one, dict) else {"external_user_id": one} for one in recipients]
        return self.send(recipients=people, **fields)
