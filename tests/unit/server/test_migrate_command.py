"""What `hubbub migrate` says of a SQLite file; the integration tests have it migrate PostgreSQL."""

from hubbub.database.schema import State
from hubbub.server.migrate_command import DONE, bring_up_to_date


def test_the_tables_are_made_once(folder):
    made, again = bring_up_to_date(), bring_up_to_date()
    assert made == f"sqlite:///hubbub-data/hubbub.db: {DONE[State.EMPTY]}"
    assert again.endswith(DONE[State.CURRENT])


def test_there_is_a_sentence_for_every_state():
    assert DONE.keys() == set(State)
