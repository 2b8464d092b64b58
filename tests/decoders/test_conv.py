from audiovq.config import parse
from audiovq.decoders.conv import Config, ConvDecoder


def test_a_causal_decoder_looks_at_no_later_frame():
    decoder = ConvDecoder(parse(Config, {"causal": True}), 4, (2, 5))
    left, right = decoder.receptive_field
    assert left > 0
    assert right == 0


def test_strides_of_its_own_replace_the_encoders_reversed():
    assert ConvDecoder(Config(), 4, (2, 5)).strides == (5, 2)
    assert ConvDecoder(parse(Config, {"strides": [2, 5]}), 4, (2, 5)).strides == (2, 5)
