"""What processes told before a key was changed, in the words of after."""

from __future__ import annotations

from dataclasses import replace

from pytest_llamakey.probe.listener import Event, Hello, ProcessRecord
from pytest_llamakey.probe.rotated import EARLIER, MATCH, rotated
from pytest_llamakey.secrecy.keys import Secrets, fresh_canary


def test_the_delivered_key_becomes_the_earlier_one_and_the_new_one_is_known_by_its_fingerprint():
    before = Secrets.fresh()
    after = replace(before, canary=fresh_canary(), earlier=(before.canary,))
    new, foreign = before.sight(after.canary), before.sight("sk-quite-another")
    seen = {"OPENAI_API_KEY": MATCH, "OPENAI_BASE_URL": {"state": "match", "shown": "http://x/v1"},
            "OTHER_KEY": {"state": "different", "shown": foreign.shown}}  # fmt: skip
    call = {"key": {"state": "different", "shown": new.shown}, "where": [{"file": "app.py", "line": 3}], "seq": 1}
    hello = Hello("c", "pod-0", 7, 1, "exec", env=seen, parent_env={"OPENAI_API_KEY": MATCH})
    told = rotated(ProcessRecord("pod-0", 7, "c", True, False, hello, (Event(1.0, "call", call),)), after)
    assert told.hello.env == {**seen, "OPENAI_API_KEY": EARLIER}
    assert told.hello.parent_env == {"OPENAI_API_KEY": EARLIER}
    assert dict(told.events[0].data) == {**call, "key": MATCH}


def test_a_probe_that_was_started_after_the_change_is_taken_at_its_word():
    """As in a container that is started anew in its pod, which goes on."""
    before = Secrets.fresh()
    after = replace(before, canary=fresh_canary(), earlier=(before.canary,))
    hello = Hello("d", "pod-0", 1, 0, "exec", env={"OPENAI_API_KEY": MATCH}, earlier=1)
    record = ProcessRecord("pod-0", 1, "d", True, False, hello, (Event(2.0, "client", {"key": MATCH}),))
    assert rotated(record, after) == record


def test_what_a_process_told_in_a_roll_call_before_it_ended_says_nothing_of_today():
    before = Secrets.fresh()
    after = replace(before, canary=fresh_canary(), earlier=(before.canary,))
    rows = Event(1.0, "rollcall", {"n": 1, "rows": [{"key": MATCH}]})
    for alive, kept in ((True, 1), (False, 0)):
        record = ProcessRecord("pod-0", 9, "c", alive, False, Hello("c", "pod-0", 9, 1, "exec"), (rows,))
        assert len(rotated(record, after).of_kind("rollcall")) == kept
