"""What a card says that no program can measure."""

from pydantic import Field

from audiovq.config import Config


class Words(Config):
    """Words of a model card."""

    summary: str = Field("", max_length=300, description="what it is, in one line")
    uses: tuple[str, ...] = Field((), description="what it is for, a sentence each")
    limits: tuple[str, ...] = Field((), description="what it cannot do, a sentence each")
    license: str = Field("", description="of the weights, as on the hub: cc-by-4.0, mit ...")
    datasets: tuple[str, ...] = Field((), description="hub ids of the data, as librispeech_asr")
    credit: str = Field("", description="of the data: authors and licence, in a sentence")
    language: tuple[str, ...] = Field((), description="codes of the data's languages, as en")
    tags: tuple[str, ...] = Field((), description="for the hub's search, beside those of the kind")


NO_WORDS = Words()
