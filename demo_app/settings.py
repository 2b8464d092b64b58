"""Every figure that the demo goes by, in one place."""

from pathlib import Path

from pydantic import Field

from audiovq.config import Config


class Settings(Config):
    """Where the demo listens, what it shows, and how much of the machine a visitor may use."""

    host: str = Field("127.0.0.1", description="address to listen on; 127.0.0.1: this machine only")
    port: int = Field(7860, ge=0, le=65535, description="port to listen on; 0: any free one")
    names: tuple[str, ...] = Field(
        (), description="host names that a browser may use, besides this machine's own"
    )
    behind_proxy: bool = Field(
        False, description="whether X-Forwarded-* headers are a proxy's and may be believed"
    )
    root_path: str = Field("", description="path under which a proxy shows the demo, as /demo")

    models: tuple[Path, ...] = Field((), description="folders to look for models in")
    units: Path | None = Field(None, description="folder of `audiovq extract`, for whole corpora")
    models_in_memory: int = Field(3, ge=1, le=64, description="models held at a time")
    device: str = Field("cpu", description="cpu, cuda, cuda:1 ...")
    threads: int = Field(2, ge=1, le=256, description="CPU threads")

    max_seconds: float = Field(60.0, gt=0, le=3600, description="longest recording (s)")
    min_rate: int = Field(4_000, ge=1_000, description="lowest sample rate (Hz)")
    max_rate: int = Field(192_000, le=384_000, description="highest sample rate (Hz)")
    max_channels: int = Field(8, ge=1, le=32, description="channels")
    max_upload: int = Field(20 << 20, ge=1 << 10, description="size of one upload (bytes)")
    max_decoded: int = Field(
        96 << 20, ge=1 << 16, description="size of a decoded recording, all channels (bytes)"
    )
    decode_memory: int = Field(
        1 << 30, ge=1 << 28, description="address space of the decoding process (bytes)"
    )
    decode_seconds: int = Field(
        10, ge=1, le=600, description="processor time, and twice that in all, of decoding (s)"
    )
    decoders: int = Field(2, ge=1, le=64, description="decoding processes at a time")

    max_request: int = Field(1 << 20, ge=1 << 10, description="a request without a file (bytes)")
    max_files: int = Field(4, ge=1, le=100, description="files in one upload")
    request_seconds: float = Field(60.0, gt=0, description="time a request may take to arrive (s)")
    idle_seconds: float = Field(
        10.0, gt=0, description="time a connection may take to send a request's headers (s)"
    )
    connections: int = Field(256, ge=8, description="open connections")
    uploads: int = Field(8, ge=1, description="uploads arriving at a time")
    requests_per_second: float = Field(
        10.0, gt=0, description="requests that change something, of one address, on average"
    )
    burst: int = Field(100, ge=1, description="of these at once, after a pause")

    queue: int = Field(16, ge=1, description="jobs waiting; further ones are refused")
    jobs: int = Field(1, ge=1, le=64, description="jobs at a time")
    sessions: int = Field(100, ge=1, description="visitors whose state is kept")
    cache_bytes: int = Field(
        512 << 20, ge=1 << 20, description="files of all visitors; above it uploads are refused"
    )
    keep_seconds: int = Field(300, ge=1, description="time a file is kept after its last use (s)")
    sweep_seconds: int = Field(60, ge=1, description="time between two clean-ups (s)")
