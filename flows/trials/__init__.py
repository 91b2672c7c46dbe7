"""dealflow tried out: demo, rehearsal, replay, back-test."""
