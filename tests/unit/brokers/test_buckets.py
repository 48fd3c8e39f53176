"""Where presence is kept: one place on a server, sixteen in a cluster, each of them in one slot."""

from hubbub.brokers.redis import Address
from hubbub.brokers.redis.buckets import Bucket, Buckets
from hubbub.brokers.redis.slots import slot_of


def tag(key: bytes) -> bytes:
    return key.partition(b"{")[2].partition(b"}")[0]


def test_a_server_has_one_and_a_cluster_sixteen_all_of_which_are_used():
    assert len(Buckets(Address.parse("redis://localhost"))) == 1
    assert len(Buckets(Address.parse("redis+sentinel://localhost/main"))) == 1
    buckets = Buckets(Address.parse("redis+cluster://localhost"))
    assert len(set(buckets)) == 16
    assert {buckets.of(f"room:{number}") for number in range(500)} == set(buckets)
    assert buckets.of("room:a}b{c") is buckets.of("room:a}b{c")


def test_all_of_one_is_in_one_slot():
    for bucket in Buckets(Address.parse("redis+cluster://localhost?prefix=chat")):
        assert {slot_of(tag(key)) for key in bucket.keys} == {bucket.slot}
        assert bucket.roster == bucket.keys[1] == b"chat:{" + tag(bucket.keys[1]) + b"}:roster"


def test_another_life_is_a_loss():
    bucket = Bucket("hubbub", 0)
    bucket.note(b"a", 1.0)
    bucket.note(b"a", 2.0)
    assert (bucket.born, bucket.before) == ("a", "")
    bucket.note(b"b", 3.0)
    assert (bucket.born, bucket.before, bucket.lost_at) == ("b", "a", 3.0)
