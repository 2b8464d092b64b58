"""The command that serves the demo."""

from pathlib import Path
from typing import Annotated

import typer

from audiovq.commands._app import Device, app
from audiovq.errors import ConfigError


@app.command()
def demo(
    models: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="folder to look for models in, also below it (repeatable); those that come with "
            "audiovq are always there",
        ),
    ] = None,
    units: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="folder of `audiovq extract`, to hear a unit across a corpus"
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option(help="address to listen on; the default is reached from this machine only"),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="port to listen on; 0: any free one")
    ] = 7860,
    name: Annotated[
        list[str] | None,
        typer.Option(help="host name under which a proxy shows the demo (repeatable)"),
    ] = None,
    behind_proxy: Annotated[
        bool,
        typer.Option("--behind-proxy", help="believe X-Forwarded-* headers: a proxy sets them"),
    ] = False,
    root_path: Annotated[
        str, typer.Option(metavar="PATH", help="path under which a proxy shows the demo, as /demo")
    ] = "",
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="longest recording (s)")] = 60.0,
    upload: Annotated[int, typer.Option(min=1, max=1024, help="largest upload (MB)")] = 20,
    in_memory: Annotated[int, typer.Option(min=1, max=64, help="models held in memory")] = 3,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="computations at a time")] = 1,
    queue: Annotated[
        int, typer.Option(min=1, max=1000, help="computations waiting; more are refused")
    ] = 16,
    threads: Annotated[int, typer.Option(min=1, max=256, help="CPU threads")] = 2,
    device: Device = "cpu",
) -> None:
    """Hear, see and use the codes in the browser; needs audiovq[demo]. Stop it with Ctrl-C.

    Drop a recording, hear it through any model, see its codes and change them, convert the voice,
    sample from a prior. Works without a network. Visitors' files are kept for five minutes.

    Uploads are decoded in a process with limits, computations wait in one queue, and only the
    models that the server finds itself are loaded; still, think before --host 0.0.0.0.

    Example: audiovq demo --models runs
    """
    from audiovq import share
    from audiovq.commands._app import check_device, set_threads

    for folder in (*(models or ()), *([units] if units else ())):
        if not folder.is_dir():
            raise ConfigError(f"{folder} is no folder")
    check_device(device)
    set_threads(threads)
    module = share.load_demo()
    module.serve.serve(
        module.settings.Settings(
            host=host, port=port, names=tuple(name or ()), behind_proxy=behind_proxy,
            root_path=root_path, models=tuple(models or ()), units=units, max_seconds=seconds,
            max_upload=upload << 20, models_in_memory=in_memory, jobs=jobs, queue=queue,
            threads=threads, device=device,
        )
    )  # fmt: skip
