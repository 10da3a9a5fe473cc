"""Streams of random integers: the numbers of stored and published seeds."""

from frozenfit.utils import counter_streams


def test_the_numbers_of_a_text_never_change():
    """Files store seeds instead of values, and depend on exactly these numbers."""
    integers = [3032838489708147381, 5340701529479776103]
    assert counter_streams.integers("a", 2).tolist() == integers
    assert counter_streams.uniforms("a", 2).tolist() == [(i >> 11) * 2.0**-53 for i in integers]
    assert counter_streams.seed_of("a") == 30554707826634


def test_streams_of_other_texts_differ():
    assert counter_streams.integers("a", 1) != counter_streams.integers("b", 1)
