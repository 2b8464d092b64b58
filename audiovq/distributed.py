"""Several processes as one; the only importer of `torch.distributed`.

`torchrun` starts the processes, tells them by environment variables who they are, and starts them
again when one dies; `srun` does with RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT
exported. `launch` joins them. In a process of its own everything here does nothing.
"""

import contextlib
import os
import signal
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from jaxtyping import Bool, Shaped
from pydantic import Field
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.nn.parallel import DistributedDataParallel

from audiovq.config import Config
from audiovq.errors import ConfigError, DistributedError, PeerError

T = TypeVar("T")
_BEAT = 0.5  # seconds between signs of life


class DistributedConfig(Config):
    """How long processes wait for each other; changes no result."""

    start_timeout: float = Field(300.0, gt=0, description="for all processes to be there (s)")
    step_timeout: float = Field(
        100.0,
        gt=0,
        description="for the slowest process: in a step, a validation, a save, or one "
        "process's look at all files before the first step (s)",
    )


@dataclass(frozen=True)
class _World:
    """The processes, and which of them this is."""

    rank: int
    size: int
    local_rank: int
    pulse: "_Pulse"


_world: _World | None = None


@contextmanager
def launch(config: DistributedConfig) -> Iterator[None]:
    """Join the other processes, if the environment says that there are some, within the block.

    Raises:
        ConfigError: the environment is incomplete.
        DistributedError: nobody else comes, or another process died or hangs; names its rank and
            step.
    """
    global _world  # noqa: PLW0603  (a process is one rank, as it has one working directory)
    here = place()
    if here is None or _world is not None:
        yield
        return
    rank, size, local_rank = here
    store = _join(rank, size, local_rank, config)
    _world = _World(rank, size, local_rank, _Pulse(store, rank, size))
    try:
        yield
        dist.barrier()  # rank 0 may keep the store: it leaves last
    except BaseException as error:
        blamed = _world.pulse.explain(error) if _is_of_exchange(error) else None
        _world.pulse.leave(error)
        if blamed is None:
            raise
        raise DistributedError(f"rank {rank}: {blamed}") from error
    finally:
        _world.pulse.end()
        _world = None
        if dist.is_initialized():
            dist.destroy_process_group()


def backends() -> set[str]:
    """Return by what processes can talk here: `gloo` between CPUs, `nccl` between GPUs."""
    if not dist.is_available():
        return set()
    found = {"gloo": dist.is_gloo_available(), "nccl": dist.is_nccl_available()}
    return {name for name, there in found.items() if there}


def is_main() -> bool:
    """Whether this process is the one that writes; a lone one is."""
    return _world is None or _world.rank == 0


def part() -> tuple[int, int]:
    """Return which of how many equal parts of all work is this process's."""
    return (0, 1) if _world is None else (_world.rank, _world.size)


def local_rank() -> int:
    """Return the number of this process on its machine, which is that of its GPU."""
    return 0 if _world is None else _world.local_rank


def at_step(step: int) -> None:
    """Tell the others which step this process works on, should they have to name it."""
    if _world is not None:
        _world.pulse.step = step


def all_reduce_sum_(tensors: Sequence[Shaped[Tensor, "..."]]) -> None:
    """Replace tensors by their sums over all processes; one message per dtype."""
    if _world is None:
        return
    for dtype in dict.fromkeys(t.dtype for t in tensors):
        chosen = [t for t in tensors if t.dtype == dtype]
        flat = torch.cat([t.reshape(-1) for t in chosen])
        dist.all_reduce(flat)
        for t, summed in zip(chosen, torch.split(flat, [t.numel() for t in chosen]), strict=True):
            t.copy_(summed.view_as(t))


def gather(x: Shaped[Tensor, "*shape"]) -> list[Shaped[Tensor, "*shape"]]:
    """Return a tensor of every process, in rank order; all must have one shape."""
    if _world is None:
        return [x]
    out = [torch.empty_like(x) for _ in range(_world.size)]
    dist.all_gather(out, x.contiguous())
    return out


def gather_objects(value: T) -> list[T]:
    """Return a value of every process, in rank order."""
    if _world is None:
        return [value]
    out: list[Any] = [None] * _world.size
    dist.all_gather_object(out, value)
    return out


def everywhere(flag: Bool[Tensor, ""]) -> Bool[Tensor, ""]:
    """Return whether a flag is set in all processes; stays on the device."""
    if _world is None:
        return flag
    missing = (~flag).float()
    dist.all_reduce(missing)
    return missing == 0


def agree(value: int) -> int:
    """Return the largest of all processes' values; over CPUs, so no GPU is waited for."""
    if _world is None:
        return value
    largest = torch.tensor(value)
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    return int(largest)


def from_main(value: T) -> T:
    """Return the main process's value."""
    if _world is None:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    return box[0]


@contextmanager
def main_first() -> Iterator[None]:
    """Let the main process go through the block first, and the others only if it succeeds.

    Raises:
        PeerError: it did not, and says why itself.
    """
    if is_main():
        try:
            yield
        except Exception as error:
            from_main(f"{type(error).__name__}: {error}")
            raise
        from_main("")
        return
    failure = from_main("")
    if failure:
        raise PeerError(f"stopped with rank 0: {failure}")
    yield


def wrap(model: nn.Module, device: torch.device) -> nn.Module:
    """Return the model as one whose backward averages gradients over all processes.

    Its parameters and buffers become rank 0's. Later the processes' buffers stay equal because
    what changes them is merged first, so none is sent around.
    """
    if _world is None:
        return model
    # torch 2.13 gave the argument another name and warns about the old one
    new = "forward_sync_buffers" in DistributedDataParallel.__init__.__code__.co_varnames
    quiet: dict[str, Any] = {"forward_sync_buffers" if new else "broadcast_buffers": False}
    # of weights with axes of length 1, whose strides mean nothing
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    ids = None if device.type == "cpu" else [device]
    return DistributedDataParallel(model, device_ids=ids, gradient_as_bucket_view=True, **quiet)


def settle(network: nn.Module, loss: Callable[[], Tensor]) -> None:
    """Go through one backward whose gradient is thrown away, where there are several processes.

    After its first backward DDP puts gradients into other buckets, and of three or more numbers
    the place in a bucket decides the order of summation: a run that goes on would begin again with
    the first buckets, and differ in the last bits from one that was never stopped.
    """
    if isinstance(network, DistributedDataParallel):
        loss().backward()  # type: ignore[no-untyped-call]
        network.zero_grad(set_to_none=True)


def hold(network: nn.Module) -> AbstractContextManager[None]:
    """Within the block, backward adds up gradients without sending them around."""
    if isinstance(network, DistributedDataParallel):
        return network.no_sync()
    return nullcontext()


def _is_of_exchange(error: BaseException) -> bool:
    """Whether an error is of messages between processes, not of this one's own work."""
    if not isinstance(error, RuntimeError):
        return False
    text = str(error).lower()
    signs = ("gloo", "nccl", "connection", "timed out", "store", "process group", "socket")
    return isinstance(error, dist.DistError) or any(sign in text for sign in signs)


def one_machine() -> bool:
    """Whether all processes are on this machine, as far as torchrun or srun tells."""
    env = os.environ
    if "LOCAL_WORLD_SIZE" in env:
        return env["LOCAL_WORLD_SIZE"] == env.get("WORLD_SIZE")
    return env.get("SLURM_NNODES", "1") == "1"


def place() -> tuple[int, int, int] | None:
    """Return rank, number of processes and rank on this machine; None: there is but one.

    What the environment says, for work that is shared without any exchange.
    """
    env = os.environ
    slurm = "RANK" not in env and "MASTER_ADDR" in env and "SLURM_PROCID" in env
    keys = (
        ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID")
        if slurm
        else ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    )
    if env.get(keys[1], "1") == "1":
        return None
    needed = (*keys, "MASTER_ADDR", "MASTER_PORT")
    missing = [k for k in needed if k not in env]
    if missing:
        raise ConfigError(
            f"{keys[1]}={env[keys[1]]} asks for several processes, but {', '.join(missing)} is "
            f"not set: start them with `torchrun --nproc_per_node=N -m audiovq train ...`"
        )
    try:
        rank, size, local = (int(env[k]) for k in keys)
    except ValueError:
        shown = ", ".join(f"{k}={env[k]!r}" for k in keys)
        raise ConfigError(f"{shown}: whole numbers are needed") from None
    if not 0 <= rank < size:
        raise ConfigError(f"{keys[0]}={rank} is not in 0 ... {size - 1}")
    return rank, size, local


def _join(rank: int, size: int, local: int, config: DistributedConfig) -> Store:
    """Start the process group on a store of this attempt's own.

    After an elastic restart the agent's store still holds the addresses of the dead attempt, which
    gloo would connect to.
    """
    env = os.environ
    hosted = env.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    try:
        base = dist.TCPStore(  # type: ignore[attr-defined]
            env["MASTER_ADDR"],
            int(env["MASTER_PORT"]),
            is_master=rank == 0 and not hosted,
            timeout=timedelta(seconds=config.start_timeout),
            wait_for_workers=False,
        )
        store = PrefixStore(f"audiovq/{env.get('TORCHELASTIC_RESTART_COUNT', '0')}", base)
        gpu = torch.cuda.is_available() and dist.is_nccl_available()
        if gpu:
            torch.cuda.set_device(local % torch.cuda.device_count())
        store.set(f"here/{rank}", "")
        store.wait([f"here/{r}" for r in range(size)], timedelta(seconds=config.start_timeout))
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if gpu else "gloo",
            store=store,
            rank=rank,
            world_size=size,
            timeout=timedelta(seconds=config.step_timeout),
        )
    except (RuntimeError, ValueError, OSError) as error:
        first = str(error).strip().split("\n")[0][:200]
        raise DistributedError(  # of this rank alone, so it says so itself
            f"rank {rank} of {size} could not join the others at {env['MASTER_ADDR']}:"
            f"{env['MASTER_PORT']} within {config.start_timeout:g} s: {first}"
        ) from None
    base.set_timeout(timedelta(seconds=config.step_timeout))
    return store


class _Pulse:
    """Signs of life of all processes in the store, which tell who is missing when one is.

    Attributes:
        step: the step this process works on.
    """

    def __init__(self, store: Store, rank: int, size: int) -> None:
        self.store, self.rank, self.size, self.step = store, rank, size, 0
        self._parent = os.getppid()
        self._ended = threading.Event()
        store.set(f"who/{rank}", f"{socket.gethostname()} {os.getpid()}")
        store.set(f"pulse/{rank}", "0 0")
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop beating."""
        self._ended.set()
        self._thread.join()

    def leave(self, error: BaseException) -> None:
        """Tell the others why this process goes, before it does."""
        if not isinstance(error, DistributedError):
            text = f"{type(error).__name__}: {error}".split("\n")[0]
            with contextlib.suppress(RuntimeError):
                self.store.set(f"left/{self.rank}", text)

    def explain(self, error: BaseException) -> str | None:
        """Say whose fault a failed exchange is; None if all others are there.

        Those on this machine that hang are ended, for they would hang on.
        """
        try:
            before = self._read("pulse")
            time.sleep(5 * _BEAT)
            after, who, left = self._read("pulse"), self._read("who"), self._read("left")
        except RuntimeError:
            return f"step {self.step}: the store, which rank 0 or torchrun keeps, is gone ({error})"
        found = []
        for rank in range(self.size):
            step = after.get(rank, "0").split()[0]
            if rank == self.rank:
                continue
            if rank in left:
                found.append(f"rank {rank} stopped at step {step}: {left[rank]}")
            elif before.get(rank) == after.get(rank):
                host, pid = who.get(rank, "? 0").split()
                found.append(f"rank {rank} ({host}, process {pid}) died or hangs at step {step}")
                if host == socket.gethostname() and pid != "0":
                    with contextlib.suppress(OSError):
                        os.kill(int(pid), signal.SIGKILL)
            elif int(step) < self.step:
                found.append(f"rank {rank} is still at step {step}")
        if not found and "timed out" in str(error).lower():
            return (
                f"step {self.step}: all ranks live, but one took longer than "
                f"distributed.step_timeout: raise it"
            )
        return "; ".join(found) or None

    def _read(self, name: str) -> dict[int, str]:
        keys = {r: f"{name}/{r}" for r in range(self.size)}
        return {r: self.store.get(k).decode() for r, k in keys.items() if self.store.check([k])}

    def _beat(self) -> None:
        count = 0
        while not self._ended.wait(_BEAT):
            count += 1
            with contextlib.suppress(RuntimeError):
                self.store.set(f"pulse/{self.rank}", f"{self.step} {count}")
            if os.getppid() != self._parent and "TORCHELASTIC_RUN_ID" in os.environ:
                os.kill(os.getpid(), signal.SIGTERM)  # torchrun was killed: nobody will end us
                return
