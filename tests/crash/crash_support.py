"""The cells of the crash matrix: one task in one DAG run, and what became of everybody."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from urllib.parse import urlsplit
from urllib.request import urlopen

import airflow
from proxy import Proxy

HAS_STORE = tuple(map(int, airflow.__version__.split(".")[:2])) >= (3, 3)
LEDGERS = ["task", "sql"] if HAS_STORE else ["sql"]
POLICIES = ["fail", "skip", "resend", "reconcile"]
BATCH = 50
PEOPLE = 365
SEND = "/campaigns/trigger/send"
LATER = 600


class Cell:
    """One task in one DAG run, and what became of everybody."""

    def __init__(self, station, emulator, folder, dag, name, *, people=PEOPLE, seed=None, **wishes):
        if seed:
            emulator.reset(seed)
        self.station, self.emulator = station, emulator
        self.dag, self.run_id, self.people = dag, name, people
        self._folder = folder
        self._witness = folder / "witness"
        self._pid_file = folder / "pid"
        self.wishes = {"dag": dag, "people": people, "on_unknown": "fail", "lanes": 1, **wishes}
        self._proxies: list[Proxy] = []
        station.begin(f"crash_{dag}", name)

    def start(self, *, proxy=None, kill=None, map_index=-1, witness=True, scheduled=False, after=LATER, **changes):
        """Begin the next try, so many seconds after the one before, and give its worker's pid."""
        self._let_pass(after)
        if not scheduled:
            self.station.schedule()
        wishes = self.wishes | changes
        known = json.loads(self.emulator.connection_json())
        extra = {"lanes": wishes.pop("lanes"), "timeout": wishes.pop("timeout", 30), **wishes.pop("extra", {})}
        connection = {**known, "extra": extra} | ({"host": proxy.url} if proxy else {})
        cell = {**wishes, "kill": kill or {}, "pid_file": str(self._pid_file)}
        if witness:
            cell["witness"] = str(self._witness)
        self._pid_file.unlink(missing_ok=True)
        return self.station.start(
            map_index, {"AIRFLOW_CONN_BRAZE_DEFAULT": json.dumps(connection), "CRASH_CELL": json.dumps(cell)}
        )

    def _let_pass(self, seconds):
        """Make open intents older: in earnest a worker that is lost may live for minutes, and reconcile waits."""
        self.station.query(
            "UPDATE braze_ledger_requests SET left_by = left_by - %(seconds)s "
            "WHERE state <> 'accepted' AND left_by > extract(epoch FROM clock_timestamp()) AND task LIKE %(task)s",
            "ledger",
            seconds=seconds,
            task=f"crash_{self.dag}/{self.run_id}/send/%",
        )
        whose = {"dag": f"crash_{self.dag}", "run": self.run_id}
        rows = self.station.query(
            "SELECT map_index, key, value FROM task_state_store WHERE dag_id = %(dag)s AND run_id = %(run)s", **whose
        )
        for map_index, key, text in rows:
            value = json.loads(text)
            if "l" in value:
                value["l"] = {
                    place: moment - seconds * (value["s"][int(place) % 200] == "?")
                    for place, moment in value["l"].items()
                }
                self.station.query(
                    "UPDATE task_state_store SET value = %(value)s WHERE dag_id = %(dag)s AND run_id = %(run)s "
                    "AND map_index = %(map_index)s AND key = %(key)s",
                    **whose,
                    map_index=map_index,
                    key=key,
                    value=json.dumps(value),
                )

    def run(self, **changes):
        """Run the next try to its end, and give the state that the task is in then."""
        worker = self.start(**changes)
        assert self.station.wait(worker) is not None, f"it does not end:\n{self.log()}"
        return self.state

    def run_on(self):
        """Run the next try to its end, over its deferrals."""
        while (state := self.run()) == "deferred":
            self.next_hour()
            self.station.resume()
        return state

    def next_hour(self):
        """Let the emulator's quota begin anew."""
        self.emulator.clock.advance(3600)

    def proxy(self, number, where, then=None, path=SEND):
        """Put a proxy before the emulator; see :class:`Proxy`."""
        made = Proxy(urlsplit(self.emulator.url).port, path, number, where, then or (lambda: None))
        self._proxies.append(made)
        return made

    def signal(self, how):
        """Send a signal to the task's process."""
        pid = self.pid
        # The number 0 would mean all processes of this group.
        assert pid > 0, "the task has not begun"
        os.kill(pid, getattr(signal, how))

    @property
    def pid(self):
        """Of the task's process, as soon as it has read its DAG; 0 before."""
        return int(self._pid_file.read_text() or 0) if self._pid_file.exists() else 0

    @property
    def state(self):
        return self.station.states()[0]["state"]

    def clear(self):
        self.station.clear()

    def log(self):
        return self.station.log()

    @property
    def report(self):
        """What the task has returned."""
        return self.station.pushed("return_value")

    def deliveries(self):
        """Messages by the number of the person."""
        return Counter({int(name.rpartition(":p")[2]): count for name, count in self.emulator.deliveries().items()})

    def sends(self, path=SEND):
        """How many requests the emulator has taken on."""
        return sum(one["path"] == path for one in self.emulator.requests())

    def settled(self):
        """Wait until the emulator has seen all that was under way to it; whoever asked stands still, or is gone."""
        for one in self._proxies:
            one.finish()
        # It reads in the order in which things came: what came before the first question is done by the second answer.
        for _ in range(2):
            urlopen(f"{self.emulator.url}/__emulator__/clock", timeout=60).close()

    def ledger(self):
        """What the ledger holds, read past the product: places accepted, places in doubt."""
        states = self._task_states() if self.wishes["ledger"] == "task" else self._sql_states()
        return (
            {place for place, state in states.items() if state == "a"},
            {place for place, state in states.items() if state in "?u"},
        )

    def _task_states(self):
        rows = self.station.query(
            "SELECT key, value FROM task_state_store WHERE dag_id = %(dag)s AND run_id = %(run)s AND map_index = -1",
            dag=f"crash_{self.dag}",
            run=self.run_id,
        )
        values = {key: json.loads(value) for key, value in rows}
        if "braze/delivery" not in values:
            return {}
        key = f"braze/delivery/{values['braze/delivery']['generation']}/0"
        return dict(enumerate(values[key]["s"])) if key in values else {}

    def _sql_states(self):
        rows = self.station.query(
            "SELECT place, state FROM braze_ledger_requests WHERE task = %(task)s",
            "ledger",
            task=f"crash_{self.dag}/{self.run_id}/send/-1",
        )
        return {place: {"accepted": "a", "intent": "?", "unknown": "u"}[state] for place, state in rows}

    def persons(self, places):
        """The numbers of those who are in some requests."""
        return {person for place in places for person in range(BATCH * place, min(BATCH * (place + 1), self.people))}

    def witnessed(self):
        """Requests that must be, and that may be, in doubt, by what the ledger was seen to write."""
        lines = [json.loads(line) for line in self._witness.read_text().splitlines()] if self._witness.exists() else []
        must = may = 0
        for line in lines:
            settled = len(line["outcomes"]) - line["outcomes"].count("UNKNOWN")
            if line["what"] == "begins":
                may += len(line["intents"])
                must -= settled
            else:
                must += len(line["intents"])
                may -= settled
        return must, may

    def close(self):
        self.station.close()
        for one in self._proxies:
            one.close()
