"""Which life of which server one is connected to."""

import pytest

from hubbub.brokers.redis.errors import NotSent, Refused
from hubbub.brokers.redis.life import CLUSTERED, STANDALONE, identify, new_epoch


def info(**facts: str) -> bytes:
    known = {
        "redis_version": "7.0.15",
        "redis_mode": STANDALONE,
        "run_id": "a" * 40,
        "role": "master",
        "master_replid": "b" * 40,
        **facts,
    }
    return b"# Server\r\n" + "".join(f"{name}:{value}\r\n" for name, value in known.items()).encode()


def test_a_restart_and_a_failover_are_other_lives():
    lives = {
        identify(info(**facts), STANDALONE)
        for facts in ({}, {"run_id": "c" * 40}, {"master_replid": "d" * 40})
    }
    assert len(lives) == 3
    assert identify(info(), STANDALONE) in lives
    assert identify(info(redis_version="8.2.1"), STANDALONE)


@pytest.mark.parametrize("version", ["6.2.14", "2.8", "junk"])
def test_what_is_too_old_is_refused(version):
    with pytest.raises(Refused, match="Redis 7"):
        identify(info(redis_version=version), STANDALONE)


def test_another_arrangement_is_refused_with_the_right_address():
    with pytest.raises(Refused, match=r"redis\+cluster://"):
        identify(info(redis_mode="cluster"), STANDALONE)
    with pytest.raises(Refused, match=r"redis\+sentinel://"):
        identify(info(redis_mode="sentinel"), STANDALONE)
    with pytest.raises(Refused, match="redis://"):
        identify(info(), CLUSTERED)


def test_a_replica_may_become_a_primary():
    with pytest.raises(NotSent, match="replica") as refused:
        identify(info(role="slave"), STANDALONE)
    assert not isinstance(refused.value, Refused)


def test_epochs_are_new_and_go_up(monkeypatch):
    now = 1_750_000_000.0
    monkeypatch.setattr("hubbub.brokers.redis.life.time.time", lambda: now)
    first, second = new_epoch(), new_epoch()
    assert first != second
    now += 1
    assert new_epoch() > max(first, second)
    assert first.isalnum()
