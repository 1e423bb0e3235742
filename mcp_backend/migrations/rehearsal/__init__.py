"""Rehearsal: what a migration would do to a target, observed on a shadow of it before anything runs there."""
